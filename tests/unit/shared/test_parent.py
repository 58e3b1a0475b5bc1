"""A process that does not outlive its parent: what the kernel was asked for."""

import ctypes
import signal
import sys

import pytest

from shared.host.parent import die_with_parent

PR_GET_PDEATHSIG = 2  # linux/prctl.h


def asked_for() -> int:
    number = ctypes.c_int(-1)
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(number))
    return number.value


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has it")
def test_the_kernel_is_asked_for_the_signal() -> None:
    before = asked_for()
    try:
        die_with_parent(signal.SIGTERM)
        assert asked_for() == signal.SIGTERM
    finally:
        die_with_parent(before)
    assert asked_for() == before
