"""The table of calls agrees with docs/contract.md, as does all that is derived from it."""

import pytest
from prometheus_client import generate_latest

import gateway.app  # noqa: F401 -- it defines further errors
from gateway.metrics import Metrics as GatewayMetrics
from shared.calls import (
    ADD_FACE,
    CALLS,
    COMPARE_FACES,
    DELETE_FACE,
    DELETE_FACE_OF_PERSON,
    DELETE_PERSON,
    GET_JOB,
    GET_PERSON,
    LIST_FACEDBS,
    LIST_PERSONS,
    SEARCH_FACE,
    UPDATE_PERSON,
    Call,
    FieldNames,
    field_names,
)
from shared.contract import Flaw, Status
from shared.errors import FacePoor
from shared.jobs import FacedbJob
from shared.observability.tracing import NoTraces
from worker.actions import ACTIONS
from worker.metrics import Metrics as WorkerMetrics

OF_IMAGES = {Status.FACE_DETECT_FAILED, Status.IMAGE_INVALID_SIZE, Status.IMAGE_INVALID_FORMAT}
OF_ALL = {Status.OK, Status.INVALID_REQUEST, Status.FAIL}


@pytest.mark.parametrize(
    ("call", "statuses", "of_workers"),
    [
        (
            ADD_FACE,
            OF_ALL | OF_IMAGES | {Status.PERSON_ID_NOT_EXIST},
            OF_ALL | OF_IMAGES - {Status.IMAGE_INVALID_SIZE} | {Status.PERSON_ID_NOT_EXIST},
        ),
        (
            SEARCH_FACE,
            OF_ALL | OF_IMAGES | {Status.NO_SIMILAR_FACE, Status.PERSON_ID_NOT_EXIST},
            OF_ALL | OF_IMAGES - {Status.IMAGE_INVALID_SIZE} | {Status.NO_SIMILAR_FACE, Status.PERSON_ID_NOT_EXIST},
        ),
        (DELETE_FACE, OF_ALL | {Status.PERSON_ID_NOT_EXIST}, {Status.OK, Status.PERSON_ID_NOT_EXIST, Status.FAIL}),
        (
            COMPARE_FACES,
            OF_ALL | OF_IMAGES,
            {Status.OK, Status.FACE_DETECT_FAILED, Status.IMAGE_INVALID_FORMAT, Status.FAIL},
        ),
        (LIST_PERSONS, OF_ALL, OF_ALL),  # INVALID_REQUEST of a worker: the cursor is wrong
        (GET_PERSON, OF_ALL | {Status.PERSON_ID_NOT_EXIST}, {Status.OK, Status.PERSON_ID_NOT_EXIST, Status.FAIL}),
        (UPDATE_PERSON, OF_ALL | {Status.PERSON_ID_NOT_EXIST}, {Status.OK, Status.PERSON_ID_NOT_EXIST, Status.FAIL}),
        (DELETE_PERSON, OF_ALL | {Status.PERSON_ID_NOT_EXIST}, {Status.OK, Status.PERSON_ID_NOT_EXIST, Status.FAIL}),
        (DELETE_FACE_OF_PERSON, OF_ALL | {Status.PERSON_ID_NOT_EXIST}, OF_ALL | {Status.PERSON_ID_NOT_EXIST}),
        (LIST_FACEDBS, OF_ALL, {Status.OK, Status.FAIL}),
    ],
    ids=lambda value: str(value) if isinstance(value, Call) else "",  # a set has no fixed order
)
def test_a_call_has_the_statuses_of_the_contract(call: Call, statuses: set[Status], of_workers: set[Status]) -> None:
    assert call.statuses == statuses
    assert call.job_statuses == of_workers


def test_a_job_is_looked_up_with_the_statuses_that_an_asynchronous_call_may_end_with() -> None:
    assert (GET_JOB.name, GET_JOB.path) == ("getjob", "/v1/jobs/{job_id}")
    assert GET_JOB.statuses == set(Status) - {Status.IMAGE_INVALID_SIZE}  # an image of a wrong size becomes no job


def test_names_paths_and_tasks_are_those_of_the_contract() -> None:
    assert [(call.method, call.path, call.title, call.job.task) for call in CALLS] == [
        ("POST", "/v1/addface", "AddFace", "facesearch.add"),
        ("POST", "/v1/searchface", "SearchFace", "facesearch.search"),
        ("POST", "/v1/delface", "DelFace", "facesearch.delete"),
        ("POST", "/v1/facecompare", "FaceCompare", "facesearch.compare"),
        ("GET", "/v1/persons", "ListPersons", "facesearch.list_persons"),
        ("GET", "/v1/persons/{person_id}", "GetPerson", "facesearch.get_person"),
        ("PATCH", "/v1/persons/{person_id}", "UpdatePerson", "facesearch.update_person"),
        ("DELETE", "/v1/persons/{person_id}", "DeletePerson", "facesearch.delete"),
        ("DELETE", "/v1/persons/{person_id}/faces/{face_id}", "DeleteFace", "facesearch.delete_face"),
        ("GET", "/v1/facedbs", "ListFacedbs", "facesearch.count_facedbs"),
    ]


def test_the_parameters_in_a_path_are_parameters_of_the_call() -> None:
    assert [call.path_parameters for call in CALLS if call.path_parameters] == [
        *[("person_id",)] * 3,
        ("person_id", "face_id"),
    ]
    for call in CALLS:
        assert set(call.path_parameters) <= set(call.parameters.model_fields)


def test_every_parameter_of_a_body_is_listed_once() -> None:
    assert field_names(CALLS) == FieldNames(
        ("img", "img1", "img2"),
        (
            *("name", "facedb", "faces", "external_id", "metadata", "person_id", "unique", "details"),
            *("limit", "min_confidence"),
        ),
        frozenset({"unique", "details", "limit", "min_confidence"}),
        frozenset({"metadata"}),
    )


def test_a_call_has_the_parameter_facedb_if_its_job_needs_a_facedb() -> None:
    for call in CALLS:
        assert ("facedb" in call.parameters.model_fields) == issubclass(call.job, FacedbJob)


def test_every_job_has_an_action() -> None:
    assert set(ACTIONS) == {call.job for call in CALLS}


def rejection_reasons(metrics: GatewayMetrics | WorkerMetrics) -> set[str]:
    """Return the reasons of rejections that the metrics have from the start."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {line.split('"')[1] for line in lines if line.startswith("facesearch_rejected_total{")}


def test_metrics_have_every_reason_of_a_rejection_from_the_start() -> None:
    assert rejection_reasons(GatewayMetrics(NoTraces())) == {
        *("unauthorized", "forbidden", "rate", "concurrency", "gateway_full", "overload", "body_memory"),
        *("body", "parameter", "facedb", "image_size", "image_format", "asynchronous_full"),
    }
    assert rejection_reasons(WorkerMetrics(NoTraces())) == {
        *("image_format", "no_face", "several_faces", "too_many_faces", "cursor"),
        *("person_full", "faces_unlike"),
        *("quality_size", "quality_blur", "quality_dark", "quality_bright", "quality_pose"),
    }


@pytest.mark.parametrize("flaw", FacePoor.FLAWS)
def test_the_reason_of_every_flaw_is_one_of_those(flaw: Flaw) -> None:
    assert FacePoor(flaw).rejected in FacePoor.rejections()
