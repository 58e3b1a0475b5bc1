"""Calibrations of facedbs that jobs carry: used for embeddings of their identity alone, and logged once where not."""

import structlog

from shared.jobs import SentCalibration
from worker.models.calibration import SFACE, Calibration
from worker.models.own_calibrations import REMEMBERED, OwnCalibrations

POINTS = ((-1.0, 0.0), (0.5, 80.0), (0.9999, 100.0))
SENT = SentCalibration(identity="ours", points=POINTS)


def test_a_calibration_of_the_same_identity_is_used() -> None:
    used = OwnCalibrations().of("t.a.1", SENT, "ours", SFACE)
    assert used.points == POINTS
    assert used.cosine(80) == 0.5


def test_without_one_the_models_is_used_and_nothing_logged() -> None:
    with structlog.testing.capture_logs() as logs:
        assert OwnCalibrations().of("t.a.1", None, "ours", SFACE) is SFACE
    assert logs == []


def test_one_of_another_identity_is_not_used_and_logged_once_for_each_facedb() -> None:
    chosen = OwnCalibrations()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            for collection in ("t.a.1", "t.b.2"):
                assert chosen.of(collection, SENT, "another", SFACE) is SFACE
    assert [(line["event"], line["collection"]) for line in logs] == [
        ("facedb_calibration_not_used", "t.a.1"),
        ("facedb_calibration_not_used", "t.b.2"),
    ]
    assert "measured for ours, and this worker makes another" in logs[0]["reason"]


def test_one_that_does_not_rise_is_not_used() -> None:
    level = SentCalibration(identity="ours", points=((-1.0, 0.0), (0.5, 80.0), (0.5, 100.0)))
    with structlog.testing.capture_logs() as logs:
        assert OwnCalibrations().of("t.a.1", level, "ours", SFACE) is SFACE
    assert "rise strictly" in logs[0]["reason"]


def test_what_was_logged_is_remembered_for_a_bounded_number_of_facedbs() -> None:
    chosen = OwnCalibrations()
    with structlog.testing.capture_logs() as logs:
        for number in range(REMEMBERED + 1):
            chosen.of(f"t.a.{number}", SENT, "another", SFACE)
        chosen.of("t.a.0", SENT, "another", SFACE)
    assert len(logs) == REMEMBERED + 2


def test_facedbs_of_each_embedder_have_the_calibration_of_theirs() -> None:
    other = Calibration(POINTS)
    chosen = OwnCalibrations({"sface": SFACE, "other": other})
    assert chosen.of("t.a.1", None, "other:00:v1003:4", SFACE) is other
    assert chosen.of("t.a.1", None, "sface:00:v1003:4", SFACE) is SFACE
    own = SentCalibration(identity="other:00:v1003:4", points=((-1.0, 0.0), (0.4, 80.0), (0.9999, 100.0)))
    assert chosen.of("t.a.1", own, own.identity, SFACE).cosine(80) == 0.4
