"""At most one warning in each interval, whatever the number of events."""

import structlog
from structlog.testing import capture_logs

from gateway.throttled_log import ThrottledLog


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_event_is_logged_at_once_and_the_next_warning_counts_those_since() -> None:
    clock = Clock()
    with capture_logs() as lines:
        throttled = ThrottledLog(structlog.stdlib.get_logger(), 10.0, ["refused", "dropped"], clock)
        for _ in range(5):
            throttled.count("refused")
            throttled.warn("full", size=1)
        clock.now = 9.9
        throttled.warn("full", size=2)
        clock.now = 10
        throttled.warn("other", size=3)
    assert lines == [
        {"event": "full", "log_level": "warning", "size": 1, "refused": 1, "dropped": 0},
        {"event": "other", "log_level": "warning", "size": 3, "refused": 4, "dropped": 0},
    ]


def test_it_knows_whether_anything_was_counted_since_the_last_warning() -> None:
    with capture_logs():
        throttled = ThrottledLog(structlog.stdlib.get_logger(), 10.0, ["refused"], Clock())
        assert not throttled.has_counts
        throttled.count("refused")
        assert throttled.has_counts
        throttled.warn("full")
        assert not throttled.has_counts
