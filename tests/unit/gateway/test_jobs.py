"""What a checked request becomes: a job, and the digest that recognises it under an Idempotency-Key."""

import itertools

import pytest

from gateway.dispatch.jobs import JobRequest
from shared.contract import Faces
from shared.jobs import AddJob, CompareJob, SearchJob, SentCalibration, new_gateway_id, new_job_id, new_request_id

COLLECTION = "tenant.facedb.00000000"


def test_different_requests_have_different_digests() -> None:
    requests = [
        JobRequest(SearchJob, COLLECTION, encoded=(b"ab",)),
        JobRequest(SearchJob, COLLECTION, encoded=(b"abc",)),
        JobRequest(SearchJob, "tenant.facedb.00000001", encoded=(b"ab",)),
        JobRequest(AddJob, COLLECTION, {"name": None}, (b"ab",)),
        JobRequest(AddJob, COLLECTION, {"name": ""}, (b"ab",)),
        JobRequest(AddJob, COLLECTION, {"name": None, "faces": Faces.ONE}, (b"ab",)),
        JobRequest(AddJob, COLLECTION, {"name": None, "faces": Faces.LARGEST}, (b"ab",)),
        *(JobRequest(CompareJob, encoded=(b"abcd"[:at], b"abcd"[at:])) for at in range(5)),
        JobRequest(CompareJob, encoded=(b"cd", b"ab")),
    ]
    assert len({each.digest() for each in requests}) == len(requests)
    for one, other in itertools.product(requests, repeat=2):
        assert (one.digest() == other.digest()) == (one == other)


def test_digests_are_those_of_the_previous_release() -> None:
    """Idempotency records outlive an upgrade."""
    assert JobRequest(AddJob, COLLECTION, {"name": "x"}, (b"ab",)).digest() == (
        "1522ba0c4a620ca8181765eb1832475100c08304a8c20315ed0ef71134083283"
    )
    assert JobRequest(SearchJob, COLLECTION, encoded=(b"ab",)).digest() == (
        "bda4bf10325da3957116f9cff0c8d0672390ef210c3000654321d21789d314e1"
    )


CALIBRATION = SentCalibration(identity="ours", points=((-1, 0), (0.9999, 100)))


def test_the_calibration_of_the_facedb_is_sent_and_not_part_of_what_is_asked() -> None:
    """A repetition under an Idempotency-Key may come after the calibration was changed."""
    plain, calibrated = (JobRequest(SearchJob, COLLECTION, {}, (b"a",), sent) for sent in (None, CALIBRATION))
    assert plain.digest() == calibrated.digest()
    ids = {"job_id": new_job_id(new_gateway_id(), new_request_id()), "deadline": 2.5, "once": None}
    assert calibrated.job(**ids).calibration == CALIBRATION
    assert SearchJob.model_validate_json(calibrated.job(**ids).model_dump_json()) == calibrated.job(**ids)
    assert "calibration" not in plain.job(**ids).model_dump(), "workers of an earlier release refuse unknown fields"


@pytest.mark.parametrize(
    ("job_request", "more"),
    [
        (JobRequest(AddJob, COLLECTION, {"name": "x"}, (b"a",)), {"collection": COLLECTION, "name": "x"}),
        (
            JobRequest(AddJob, COLLECTION, {"name": "x", "faces": Faces.ONE}, (b"a",)),
            {"collection": COLLECTION, "name": "x", "faces": "one"},
        ),
        (JobRequest(SearchJob, COLLECTION, encoded=(b"a",)), {"collection": COLLECTION}),
        (JobRequest(CompareJob, encoded=(b"a", b"b")), {}),
    ],
)
def test_a_job_has_the_fields_of_its_type_and_no_image(job_request: JobRequest, more: dict[str, str]) -> None:
    job_id = new_job_id(new_gateway_id(), new_request_id())
    job = job_request.job(job_id=job_id, deadline=2.5, once=None)
    assert type(job) is job_request.job_type
    assert job.model_dump() == {"job_id": job_id, "deadline": 2.5, "once": None} | more
