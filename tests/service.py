"""A running service for tests: `facesearch up` as a user starts it, on a free port and with a folder of its own.

Its Redis and its Qdrant are those of the run's backend, unless its settings name others.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import psutil

import backends

START_S = 90
STOP_S = 40

UNHURRIED = {"FACESEARCH_DEADLINE_S": "120"}
"""Settings for tests that check answers and not their speed, on a busy machine too."""


@dataclass
class Service:
    """A service that is started on entering and stopped on leaving. said: its output so far. through: a command that
    runs the command after it, such as `prlimit`.
    """

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    said: list[str] = field(default_factory=list)
    through: Sequence[str] = ()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            shared = None if "REDIS_URL" in self.settings else backends.redis_url()
            if shared is not None:
                self.settings = {**self.settings, "REDIS_URL": stack.enter_context(backends.database(shared))}
            self.settings = backends.qdrant() | self.settings
            self._start()
            self._stack = stack.pop_all()
        return self

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(*self.through, sys.executable, "-m", "facesearch", "up"),
                *("--port", str(self.port), "--data-dir", str(self.folder)),
            ],
            env={**os.environ, **self.settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._ready = threading.Event()
        # A daemon: after a failed test a process that nobody stopped must not keep this one from ending.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(START_S):
            self.process.kill()
            raise AssertionError("".join(self.said))
        assert self.process.poll() is None, "".join(self.said)
        self.address = self._printed("address")
        self.admin = self._printed("admin").removesuffix("/admin/v1")
        self.key = self.settings.get("FACESEARCH_API_KEY") or (self.folder / "api-key").read_text().strip()
        self.http = httpx.Client(base_url=self.address, headers={"X-API-Key": self.key}, timeout=150)

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self.http.close()
            # Read before the broker of the service stops.
            readable = self.process.poll() is None or "REDIS_URL" in self.settings
            ours = backends.collections(self.broker) if "QDRANT_URL" in self.settings and readable else []
            self.stop()
            backends.remove_collections(ours)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait for the end of the service. Returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(STOP_S)
        finally:
            self.process.kill()
        self._reader.join(STOP_S)
        assert not self._reader.is_alive(), "a process of the service has outlived it"
        return status

    def child(self, name: str) -> psutil.Process:
        """Return the running child whose command line holds that text. Raises LookupError."""
        for child in psutil.Process(self.process.pid).children():
            if name in " ".join(child.cmdline()):
                return child
        raise LookupError(name)

    def processes(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    @property
    def broker(self) -> str:
        """The URL of the broker."""
        return self.settings.get("REDIS_URL") or f"unix://{(self.folder / 'run').resolve()}/broker.sock"

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.said.append(line)
                if "Ctrl-C stops it" in line:
                    self._ready.set()
        self._ready.set()

    def _printed(self, label: str) -> str:
        found = re.search(rf"^  {label} +(\S+)$", "".join(self.said), re.MULTILINE)
        assert found, "".join(self.said)
        return found[1]
