"""The limit of descriptors, in processes of their own, since a lowered hard limit cannot be raised."""

import subprocess
import sys

import pytest

RAISE = """
import resource
from shared.host.descriptors import raise_limit
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard"), [(64, 512), (512, 512)])
def test_the_soft_limit_becomes_the_hard_one(soft: int, hard: int) -> None:
    limits = f'ulimit -S -n {soft} && ulimit -H -n {hard} && exec "$0" -c "$1"'
    done = subprocess.run(["sh", "-c", limits, sys.executable, RAISE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(hard)] * 3


def test_a_second_call_changes_nothing() -> None:
    twice = "from shared.host.descriptors import raise_limit; print(raise_limit() == raise_limit())"
    done = subprocess.run([sys.executable, "-c", twice], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
