"""The signal that the kernel sends to a process when its parent dies."""

import ctypes
import signal
import sys

import pytest

from shared.host.parent import die_with_parent

PR_GET_PDEATHSIG = 2  # linux/prctl.h


def death_signal() -> int:
    number = ctypes.c_int(-1)
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(number))
    return number.value


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has it")
def test_the_death_signal_is_set() -> None:
    before = death_signal()
    try:
        die_with_parent(signal.SIGTERM)
        assert death_signal() == signal.SIGTERM
    finally:
        die_with_parent(before)
    assert death_signal() == before
