"""Expiry times of API keys, as operators write them on the command line or to the admin API."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.errors import OperatorError

_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_DURATION: Final = re.compile(r"([0-9]{1,6})([hdw])")


def parse(text: str) -> datetime | None:
    """Return the time in UTC, None for `never`.

    text: `never`, a time from now such as `12h`, `30d` or `4w`, or a date (its start) or a time in ISO 8601, in UTC
    unless it has an offset. Raises OperatorError.
    """
    if text == "never":
        return None
    duration = _DURATION.fullmatch(text)
    try:
        if duration is not None:
            return datetime.now(UTC) + int(duration[1]) * _UNITS[duration[2]]
        written = datetime.fromisoformat(text)
        return written.replace(tzinfo=UTC) if written.tzinfo is None else written.astimezone(UTC)
    except (ValueError, OverflowError):
        raise OperatorError(
            f"{text!r} is no time; write 12h, 30d or 4w from now, a date such as 2030-01-31, or never"
        ) from None
