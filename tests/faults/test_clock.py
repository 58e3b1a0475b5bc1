"""A clock that jumps shifts the time of day of processes, and no other clock."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from facesearch.embedded import servers
from faults.clock import Clock, clock, why_not
from processes import answers, end, wait_for

HOUR_S = 3600

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

PRINT_CLOCKS = """
import datetime, time
for _ in iter(input, ""):
    print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)
"""


@pytest.fixture
def shifted(tmp_path: Path) -> Iterator[Clock]:
    with clock(tmp_path) as made:
        yield made


def test_a_process_sees_a_jump_at_once(shifted: Clock) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINT_CLOCKS],
        env={**os.environ, **shifted.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def clocks() -> tuple[float, ...]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("now\n")
            process.stdin.flush()
            return tuple(map(float, process.stdout.readline().split()))

        before = clocks()
        shifted.jump(HOUR_S)
        ahead = clocks()
        shifted.jump(-2 * HOUR_S)
        behind = clocks()
        process.stdin.write("\n")
    for kind in (0, 1):
        assert ahead[kind] - before[kind] == pytest.approx(HOUR_S, abs=5)
        assert behind[kind] - before[kind] == pytest.approx(-HOUR_S, abs=5)
    assert behind[2] - before[2] < 5


def test_valkey_expires_keys_after_a_jump(shifted: Clock, tmp_path: Path) -> None:
    socket = tmp_path / "v.sock"
    command = servers.images_command(tmp_path / "valkey", socket)
    with (
        subprocess.Popen(command, env={**os.environ, **shifted.environment}) as process,
        Redis.from_url(servers.url(socket)) as redis,
    ):
        try:
            wait_for(lambda: answers(redis))
            redis.set("short", 1, ex=60)
            before = redis.time()[0]
            shifted.jump(HOUR_S)
            wait_for(lambda: redis.time()[0] - before == pytest.approx(HOUR_S, abs=5))  # it caches the time
            assert redis.get("short") is None
        finally:
            end(process)
