"""The end of a test that pytest-timeout cannot end."""

import faulthandler
import os
import sys
from collections.abc import Generator

import pytest

GRACE_S = 60
"""Seconds that a test has to clean up after its time is over. Then the process of the run ends."""


class Watchdog:
    """Ends this process, with a traceback of every thread, when a test runs on after pytest-timeout interrupted it.

    pytest-timeout raises an exception in the main thread, once. A test goes on where native code does not return to
    Python, where an event loop takes the exception for that of a callback, and where cleaning up waits for what hangs.
    This watch needs neither the main thread nor the interpreter. pytest-xdist reports the test as crashed and starts
    another process for the rest.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._out = os.dup(sys.__stderr__.fileno())  # pytest replaces descriptor 2 while a test runs

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._watch(item)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        self._watch(item)  # again, since pytest ends every watch when a test has failed

    def _watch(self, item: pytest.Item) -> None:
        mark = item.get_closest_marker("timeout")
        limit_s = float(mark.args[0] if mark else item.config.getini("timeout"))
        faulthandler.dump_traceback_later(limit_s + self._grace_s, exit=True, file=self._out)
