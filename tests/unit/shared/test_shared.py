"""Contract data, jobs, settings and URLs."""

import json
import uuid
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.contract import MESSAGES, NAME, Result, Status
from shared.errors import ContractError, InvalidRequest, OperatorError, TooManyRequests
from shared.jobs import (
    AddJob,
    CompareJob,
    DeleteJob,
    Once,
    Outcome,
    image_key,
    new_gateway_id,
    new_job_id,
    new_request_id,
    person_id,
)
from shared.once import KEY, record
from shared.settings import Settings


def subclasses(cls: type[ContractError]) -> list[type[ContractError]]:
    return [cls, *(below for sub in cls.__subclasses__() for below in subclasses(sub))]


def test_every_error_has_a_message_for_the_caller() -> None:
    for error in subclasses(ContractError)[1:]:
        shown = (error("why", 1) if issubclass(error, TooManyRequests) else error("why")).message
        assert shown == ("why" if issubclass(error, InvalidRequest) else MESSAGES[error.status])


def test_every_status_but_ok_is_some_error() -> None:
    assert {error.status for error in subclasses(ContractError)[1:]} == set(Status) - {Status.OK}


def test_jobs_of_the_same_origin_give_their_faces_the_same_ids() -> None:
    origin = new_request_id()
    ids = [person_id(origin, face) for face in range(20)]
    assert ids == [person_id(origin, face) for face in range(20)]
    assert len(set(ids)) == 20
    assert person_id(new_request_id(), 0) not in ids


def test_the_origin_of_a_job_is_its_request_or_the_first_one_with_its_idempotency_key() -> None:
    request_id, first = new_request_id(), new_request_id()
    plain = AddJob(job_id=new_job_id(new_gateway_id(), request_id), collection="a.b.00000000", deadline=1, name=None)
    assert plain.origin == request_id
    once = Once(record=record("a", "key"), origin=first, keep_s=60)
    assert plain.model_copy(update={"once": once}).origin == first


@pytest.mark.parametrize("key", ["", "two words", "ü", "a\n", "x" * 256])
def test_what_is_no_idempotency_key(key: str) -> None:
    assert not KEY.fullmatch(key)


def test_tenants_do_not_share_records_of_idempotency_keys() -> None:
    assert record("a", "key") != record("b", "key") != record("b", "other")


def test_jobs_survive_the_way_through_json() -> None:
    job_id = new_job_id(new_gateway_id(), new_request_id())
    for job in (
        AddJob(job_id=job_id, collection="a.b.00000000", deadline=1.5, name=None),
        AddJob(job_id=job_id, collection="a.b.00000000", deadline=1.5, name=""),
        DeleteJob(job_id=job_id, collection="a.b.00000000", deadline=1.5, person_id=uuid.uuid4()),
        DeleteJob(
            job_id=job_id,
            collection="a.b.00000000",
            deadline=1.5,
            person_id=uuid.uuid4(),
            once=Once(record=record("a", "key"), origin=new_request_id(), keep_s=60),
        ),
        CompareJob(job_id=job_id, deadline=1.5),
    ):
        assert type(job).model_validate_json(job.model_dump_json()) == job


@pytest.mark.parametrize("similarity", [0, 79.999, 97.501, 100])
def test_a_comparison_survives_the_way_through_json_as_it_is(similarity: float) -> None:
    text = json.dumps({"status": "OK", "message": {"similarity": similarity, "result": "NOT SURE"}})
    outcome = Outcome.model_validate_json(text)
    assert outcome.message == {"similarity": similarity, "result": Result.NOT_SURE}
    assert json.dumps(json.loads(outcome.model_dump_json())) == text, "a whole number stays one"
    for wrong in ('"PERHAPS"', "null"):
        with pytest.raises(ValidationError):
            Outcome.model_validate_json(text.replace('"NOT SURE"', wrong))


def test_every_image_of_a_job_has_a_place_of_its_own() -> None:
    jobs = [new_job_id(new_gateway_id(), new_request_id()) for _ in range(2)]
    assert len({image_key(job, number) for job in jobs for number in range(2)}) == 4
    assert image_key(jobs[0]) == image_key(jobs[0], 0) == f"fs:image:{jobs[0]}"


@pytest.mark.parametrize("wrong", [{"name": "no spaces"}, {"collection": "../x"}, {"job_id": "x"}, {"more": 1}])
def test_a_malformed_job_is_refused_without_repeating_it(wrong: dict[str, str]) -> None:
    right = {
        "job_id": new_job_id(new_gateway_id(), new_request_id()),
        "collection": "a.b.00000000",
        "deadline": 1.0,
        "name": "n",
    }
    with pytest.raises(ValidationError) as error:
        AddJob.model_validate({**right, **wrong})
    assert "input_value" not in str(error.value)  # it may be a name


@pytest.mark.parametrize("name", ["", "a", "Z9", "x" * 128])
def test_names_that_are_taken(name: str) -> None:
    assert NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["x" * 129, "a b", "é", "a\n", "٣"])
def test_names_that_are_refused(name: str) -> None:
    assert not NAME.fullmatch(name)


def test_settings_come_from_a_dict_and_hide_their_secrets() -> None:
    settings = Settings(redis_url="redis://:hunter2@h/0", api_key="opensesame", qdrant_api_key="sesame-too")
    assert settings.broker == settings.images == "redis://:hunter2@h/0"
    for secret in ("hunter2", "opensesame", "sesame-too"):
        assert secret not in repr(settings)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://h/0")
    monkeypatch.setenv("FACESEARCH_PORT", "81")
    monkeypatch.setenv("FACESEARCH_DATA_DIR", "/srv/faces")
    settings = Settings()
    assert (settings.broker, settings.port, settings.data_dir) == ("redis://h/0", 81, Path("/srv/faces"))


def test_what_is_given_is_used_and_what_is_left_out_is_embedded() -> None:
    assert Settings(qdrant_url="http://h").store_kind == "qdrant"
    assert Settings(qdrant_url=None).store_kind == "edge"
    assert Settings(store="memory").store_kind == "memory"
    with pytest.raises(OperatorError, match="REDIS_URL is not set"):
        _ = Settings(redis_url=None).broker


def test_every_setting_says_what_it_does() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_a_secret_may_be_a_file_named_like_its_variable_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.settings.SECRETS_DIR", tmp_path)
    (tmp_path / "REDIS_URL").write_text("redis://:from-a-file@h/0\n")
    (tmp_path / "QDRANT_API_KEY").write_text("from-a-file")
    (tmp_path / "FACESEARCH_API_KEY").write_text("from-a-file")
    (tmp_path / "kubernetes.io").mkdir()  # where Kubernetes puts the token of a service account
    monkeypatch.setenv("FACESEARCH_API_KEY", "from-the-environment")
    settings = Settings()
    assert settings.broker == "redis://:from-a-file@h/0"
    assert settings.qdrant_api_key.get_secret_value() == "from-a-file"
    assert settings.api_key.get_secret_value() == "from-the-environment"


def test_a_wrong_setting_is_named_and_not_quoted() -> None:
    with pytest.raises(OperatorError, match=r"^--port must be 0 to 65535; --api-key: ") as refused:
        Settings.read(api_key="hunter2", port="eighty")
    assert "hunter2" not in str(refused.value)
    assert "eighty" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("FACESEARCH_PORT", "70000", "setting FACESEARCH_PORT must be 0 to 65535"),
        ("FACESEARCH_DEADLINE_S", "soon", "setting FACESEARCH_DEADLINE_S: Input should be a valid number"),
        ("FACESEARCH_STORE", "attic", "setting FACESEARCH_STORE: Input should be 'auto', 'edge', 'qdrant' or 'memory'"),
    ],
)
def test_a_wrong_variable_is_named_as_it_stands_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(OperatorError, match=f"^{said}"):
        Settings.read()


@pytest.mark.parametrize(
    ("given", "variable"),
    [({"redis_url": "hunter2"}, "REDIS_URL"), ({"images_url": "hunter2"}, "FACESEARCH_IMAGES_URL")],
)
def test_a_url_that_is_none_is_named_by_its_variable(given: dict[str, str], variable: str) -> None:
    settings = Settings(redis_url=None, **given) if "images_url" in given else Settings(**given)
    with pytest.raises(OperatorError, match=f"^{variable} is wrong: its scheme is unknown; ") as refused:
        _ = settings.images
    assert "hunter2" not in str(refused.value)
