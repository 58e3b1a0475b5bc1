"""Contract data, jobs, settings and URLs."""

import json
import re
import secrets
import unicodedata
import uuid
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from shared.contract import FREE_NAME, LONGEST_NAME, MESSAGES, NAME, Result, Status
from shared.errors import ContractError, InvalidRequest, OperatorError, SeveralFaces, TooManyRequests
from shared.idempotency import KEY, record
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
from shared.settings import Settings


def subclasses(cls: type[ContractError]) -> list[type[ContractError]]:
    return [cls, *(below for sub in cls.__subclasses__() for below in subclasses(sub))]


def test_every_error_has_a_message_for_the_caller() -> None:
    for error in subclasses(ContractError)[1:]:
        given = {SeveralFaces: ()}.get(error, ("why", 1) if issubclass(error, TooManyRequests) else ("why",))
        shown = error(*given).message
        assert shown == ("why" if issubclass(error, InvalidRequest) else MESSAGES[error.status])


def test_every_status_but_ok_has_an_error() -> None:
    assert {error.status for error in subclasses(ContractError)[1:]} == set(Status) - {Status.OK}


def test_jobs_of_one_origin_give_their_faces_the_same_ids() -> None:
    origin = new_request_id()
    ids = [person_id(origin, face) for face in range(20)]
    assert ids == [person_id(origin, face) for face in range(20)]
    assert len(set(ids)) == 20
    assert person_id(new_request_id(), 0) not in ids


def test_the_origin_is_the_first_request_with_the_same_idempotency_key() -> None:
    request_id, first = new_request_id(), new_request_id()
    plain = AddJob(job_id=new_job_id(new_gateway_id(), request_id), collection="a.b.00000000", deadline=1, name=None)
    assert plain.origin == request_id
    once = Once(record=record("a", "key"), origin=first, keep_s=60)
    assert plain.model_copy(update={"once": once}).origin == first


@pytest.mark.parametrize("key", ["", "two words", "ü", "a\n", "x" * 256])
def test_a_malformed_idempotency_key(key: str) -> None:
    assert not KEY.fullmatch(key)


def test_tenants_do_not_share_idempotency_records() -> None:
    # The pattern that workers of earlier releases check.
    assert re.fullmatch(r"fs:once:[A-Za-z0-9_-]{1,64}:[0-9a-f]{64}", record(secrets.token_hex(8), "key"))
    assert record("a", "key") != record("b", "key") != record("b", "other")


def test_jobs_are_read_back_from_json() -> None:
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
def test_a_comparison_is_read_back_from_json(similarity: float) -> None:
    text = json.dumps({"status": "OK", "message": {"similarity": similarity, "result": "NOT SURE"}})
    outcome = Outcome.model_validate_json(text)
    assert outcome.message == {"similarity": similarity, "result": Result.NOT_SURE}
    assert json.dumps(json.loads(outcome.model_dump_json())) == text, "a whole number stays one"
    for wrong in ('"PERHAPS"', "null"):
        with pytest.raises(ValidationError):
            Outcome.model_validate_json(text.replace('"NOT SURE"', wrong))


def test_every_image_of_a_job_has_a_key_of_its_own() -> None:
    jobs = [new_job_id(new_gateway_id(), new_request_id()) for _ in range(2)]
    assert len({image_key(job, number) for job in jobs for number in range(2)}) == 4
    assert image_key(jobs[0]) == image_key(jobs[0], 0) == f"fs:image:{jobs[0]}"


@pytest.mark.parametrize("wrong", [{"name": "no\nlines"}, {"collection": "../x"}, {"job_id": "x"}, {"more": 1}])
def test_a_malformed_job_is_refused_without_quoting_it(wrong: dict[str, str]) -> None:
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
def test_valid_names(name: str) -> None:
    assert NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["x" * 129, "a b", "é", "a\n", "٣"])
def test_invalid_names(name: str) -> None:
    assert not NAME.fullmatch(name)


def add_job(name: str) -> AddJob:
    """Return a job that adds faces of that name. Raises ValidationError."""
    right = {"job_id": new_job_id(new_gateway_id(), new_request_id()), "collection": "a.b.00000000", "deadline": 1.0}
    return AddJob.model_validate({**right, "name": name})


class TestFreeNames:
    def test_they_are_printable_characters_the_wide_space_and_the_joiners(self) -> None:
        taken = TypeAdapter(Annotated[str, Field(pattern=FREE_NAME)])
        for number in range(0x110000):
            character = chr(number)
            if unicodedata.category(character) == "Cn":
                continue  # assigned in some versions of Unicode only
            try:
                taken.validate_python(character)
            except ValidationError:
                assert not character.isprintable(), hex(number)
                assert character not in "\u3000\u200c\u200d"
            else:
                assert character.isprintable() or character in "\u3000\u200c\u200d", hex(number)

    @pytest.mark.parametrize(
        "name",
        ["", "Ada", "x" * 128, "José O'Neill-Núñez", "山田\u3000太郎", "رضا\u200cعلی", "\U0001f642" * 128, "e\u0301"],
    )
    def test_workers_take_them_unchanged(self, name: str) -> None:
        assert AddJob.model_validate_json(add_job(name).model_dump_json()).name == name

    @pytest.mark.parametrize(
        "name",
        [
            "x" * 129,
            "\U0001f642" * 129,
            "a\n",
            "a\tb",
            "\0",
            "\x7f",
            "\x85",
            "\u2028",
            "\u202e",
            "\u2066",
            "\ud800",
            "\ue000",
        ],
    )
    def test_control_characters_and_text_direction_marks_are_refused(self, name: str) -> None:
        with pytest.raises(ValidationError):
            add_job(name)

    def test_every_strict_name_is_a_free_name(self) -> None:
        assert LONGEST_NAME == 128
        for name in ("", "aZ09", "x" * 128):
            assert NAME.fullmatch(name)
            assert add_job(name).name == name


def test_settings_of_a_dict_hide_their_secrets() -> None:
    settings = Settings(redis_url="redis://:hunter2@h/0", api_key="opensesame", qdrant_api_key="sesame-too")
    assert settings.broker == settings.images == "redis://:hunter2@h/0"
    for secret in ("hunter2", "opensesame", "sesame-too"):
        assert secret not in repr(settings)


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://h/0")
    monkeypatch.setenv("FACESEARCH_PORT", "81")
    monkeypatch.setenv("FACESEARCH_DATA_DIR", "/srv/faces")
    settings = Settings()
    assert (settings.broker, settings.port, settings.data_dir) == ("redis://h/0", 81, Path("/srv/faces"))


def test_a_store_is_embedded_unless_a_url_is_set() -> None:
    assert Settings(qdrant_url="http://h").store_kind == "qdrant"
    assert Settings(qdrant_url=None).store_kind == "edge"
    assert Settings(store="memory").store_kind == "memory"
    with pytest.raises(OperatorError, match="REDIS_URL is not set"):
        _ = Settings(redis_url=None).broker


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_a_secret_may_be_a_file_and_the_environment_takes_precedence(
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


def test_a_wrong_option_is_named_and_not_quoted() -> None:
    with pytest.raises(OperatorError, match=r"^--port must be 0 to 65535; --api-key: ") as refused:
        Settings.read(api_key="hunter2", port="eighty")
    assert "hunter2" not in str(refused.value)
    assert "eighty" not in str(refused.value)


def test_malformed_origins_are_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().allowed_origins == frozenset()
    monkeypatch.setenv("FACESEARCH_CORS_ORIGINS", "https://a.example:443, http://localhost:3000")
    assert Settings.read().allowed_origins == {"https://a.example", "http://localhost:3000"}
    monkeypatch.setenv("FACESEARCH_CORS_ORIGINS", "https://a.example, https://b.example/app")
    with pytest.raises(OperatorError, match=r"FACESEARCH_CORS_ORIGINS: entry 2 is no origin; write scheme://host"):
        Settings.read()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FACESEARCH_PORT", "70000", "setting FACESEARCH_PORT must be 0 to 65535"),
        ("FACESEARCH_DEADLINE_S", "soon", "setting FACESEARCH_DEADLINE_S: Input should be a valid number"),
        ("FACESEARCH_STORE", "attic", "setting FACESEARCH_STORE: Input should be 'auto', 'edge', 'qdrant' or 'memory'"),
    ],
)
def test_a_wrong_variable_is_named_as_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(OperatorError, match=f"^{message}"):
        Settings.read()


@pytest.mark.parametrize(
    ("given", "variable"),
    [({"redis_url": "hunter2"}, "REDIS_URL"), ({"images_url": "hunter2"}, "FACESEARCH_IMAGES_URL")],
)
def test_a_malformed_url_is_named_by_its_variable(given: dict[str, str], variable: str) -> None:
    settings = Settings(redis_url=None, **given) if "images_url" in given else Settings(**given)
    with pytest.raises(OperatorError, match=f"^{variable} is wrong: its scheme is unknown; ") as refused:
        _ = settings.images
    assert "hunter2" not in str(refused.value)
