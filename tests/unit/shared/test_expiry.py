"""When a key expires, in the spellings that people use."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import OperatorError
from shared.expiry import parse


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2030-01-31", datetime(2030, 1, 31, tzinfo=UTC)),
        ("2030-01-31T12:00:00", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00+02:00", datetime(2030, 1, 31, 10, tzinfo=UTC)),
        ("never", None),
    ],
)
def test_a_date_or_time(text: str, meant: datetime | None) -> None:
    assert parse(text) == meant


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("30d", 720), ("4w", 672)])
def test_a_time_from_now(text: str, hours: int) -> None:
    meant = parse(text)
    assert meant is not None
    assert timedelta(seconds=-2) < meant - datetime.now(UTC) - timedelta(hours=hours) <= timedelta()


@pytest.mark.parametrize(
    "text", ["", "soon", "30", "d", "-1d", "30 d", "1e3d", "999999w", "2030-02-31", "9999999d", "٣d"]
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="is no time; write"):
        parse(text)


def test_a_time_before_the_year_1_is_refused() -> None:
    with pytest.raises(OperatorError, match="is no time"):
        parse("0001-01-01T00:00+14:00")
