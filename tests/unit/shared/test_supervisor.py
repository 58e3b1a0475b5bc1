"""A child that tells that it lives, and then does not any more, is killed and started again."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from shared import supervisor
from shared.supervisor import Children, Command

CHILD = """
import asyncio, os, pathlib, sys
from shared import supervisor

async def main():
    supervisor.BEAT_S = 0.05
    beating = asyncio.create_task(supervisor.beat(int(sys.argv[3])))
    await asyncio.sleep(0)  # it has beaten once
    with pathlib.Path(sys.argv[1]).open("a") as pids:
        pids.write(f"{os.getpid()}\\n")
    await beating

asyncio.run(main())
"""


async def started(pids: Path, times: int) -> list[int]:
    """Return the ids of the processes once that many have been started, one after the other."""
    while (found := await asyncio.to_thread(pids.read_text)).count("\n") < times:
        await asyncio.sleep(0.01)
    return list(map(int, found.split()))


async def test_a_child_that_hangs_is_killed_and_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BEAT_S", 0.05)
    monkeypatch.setattr(supervisor, "HUNG_LOOKS", 40)
    pids = tmp_path / "pids"
    pids.touch()
    async with asyncio.timeout(60), Children() as children:
        await children.start(Command("child", [sys.executable, "-c", CHILD, str(pids)], beats=True))
        (first,) = await started(pids, 1)
        os.kill(first, signal.SIGSTOP)
        await started(pids, 2)
        assert not psutil.pid_exists(first)
