"""The guard reports all that is not allowed, whatever does it, and nothing else."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from privacy.guard import Guard, why_not
from processes import wait_for

NOWHERE = "192.0.2.1"
"""An address for documentation, which no machine has (RFC 5737)."""

_WHY_NOT = why_not()

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT)]


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    folder = tmp_path / "ours"
    folder.mkdir()
    return folder


@pytest.fixture
def guard(ours: Path) -> Iterator[Guard]:
    with Guard([ours]) as watching:
        yield watching


def run(guard: Guard, *command: str, cwd: Path, status: int | None = 0) -> None:
    done = subprocess.run([*guard.command, *command], cwd=cwd, capture_output=True, text=True, timeout=30, check=False)
    assert status in {None, done.returncode}, done.stderr


def python(guard: Guard, code: str, cwd: Path) -> None:
    run(guard, sys.executable, "-c", f"import grp, os, pwd, socket, threading\n{code}", cwd=cwd)


UDP = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
FAILS = """
def fails(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        print(error)
    else:
        raise SystemExit("it was allowed")
"""


@pytest.mark.parametrize(
    ("code", "reported"),
    [
        pytest.param(f"fails(socket.create_connection, ('{NOWHERE}', 80))", f"connect to {NOWHERE} port 80", id="tcp"),
        pytest.param("fails(socket.create_connection, ('2001:db8::1', 80))", "connect to 2001:db8::1 port 80", id="v6"),
        pytest.param(f"{UDP}; fails(s.sendto, b'', ('{NOWHERE}', 80))", f"sendto to {NOWHERE} port 80", id="sendto"),
        pytest.param(
            f"{UDP}; fails(s.sendmsg, [b''], [], 0, ('{NOWHERE}', 80))",
            f"sendmsg to {NOWHERE} port 80",
            id="sendmsg",
        ),
        pytest.param(f"{UDP}; fails(s.connect, ('127.0.0.53', 53))", "asks DNS, connect to 127.0.0.53", id="resolver"),
        pytest.param(
            f"t = threading.Thread(target=fails, args=(socket.create_connection, ('{NOWHERE}', 80)));"
            "t.start(); t.join()",
            f"connect to {NOWHERE} port 80",
            id="a-thread",
        ),
    ],
)
def test_a_connection_to_another_machine_is_prevented_and_reported(
    guard: Guard, ours: Path, code: str, reported: str
) -> None:
    python(guard, f"{FAILS}\n{code}", ours)
    (violation,) = guard.violations
    assert violation.endswith(f": {reported}")


@pytest.mark.parametrize(
    "command", [("getent", "ahosts", "collector.invalid"), ("sh", "-c", "getent ahosts x.invalid")]
)
def test_a_dns_query_of_a_native_program_is_reported(guard: Guard, ours: Path, command: tuple[str, ...]) -> None:
    """The C library does it by itself, with no call that a library in between could see."""
    run(guard, *command, cwd=ours, status=None)
    assert any(": asks DNS, connect to " in violation for violation in guard.violations)


@pytest.mark.parametrize(
    "code",
    [
        "open('../theirs', 'w')",
        "os.close(os.open('../theirs', os.O_CREAT | os.O_RDONLY))",
        "os.close(os.open('theirs', os.O_CREAT | os.O_WRONLY, dir_fd=os.open('..', os.O_RDONLY)))",
        "os.chdir('..'); open('theirs', 'ab')",
        "os.mkdir('../theirs')",
        "os.symlink('/', '../theirs')",
        "open('mine', 'w'); os.link('mine', '../theirs')",
        "open('mine', 'w'); os.rename('mine', '../theirs')",
        "os.mkfifo('../theirs')",
        "os.symlink('../theirs', 'mine'); open('mine', 'w')",
        "socket.socket(socket.AF_UNIX).bind('../theirs')",
        "os.system('touch ../theirs')",
    ],
)
def test_a_change_outside_our_folders_is_reported(guard: Guard, ours: Path, code: str) -> None:
    python(guard, code, ours)
    assert {violation.rpartition(" ")[2] for violation in guard.violations} == {str(ours.parent / "theirs")}


def test_a_removal_outside_our_folders_is_reported(guard: Guard, ours: Path) -> None:
    for name in ("a", "b", "c"):
        (ours.parent / name).write_text("theirs")
    python(guard, "os.unlink('../a'); os.rename('../b', 'b'); os.truncate('../c', 0)", ours)
    reported = [violation.rpartition(": ")[2] for violation in guard.violations]
    assert reported == [
        f"{call} {ours.parent / name}" for call, name in (("unlink", "a"), ("rename", "b"), ("truncate", "c"))
    ]


def test_a_connection_to_a_local_server_of_others_is_reported(guard: Guard, ours: Path) -> None:
    """It could look up a name, or send data, for its clients."""
    path = os.path.relpath(ours.parent / "theirs")
    with socket.create_server(path, family=socket.AF_UNIX):
        python(guard, "socket.socket(socket.AF_UNIX).connect('../theirs')", ours)
    (violation,) = guard.violations
    assert violation.endswith(f": connect {ours.parent / 'theirs'}")


def test_everything_else_is_allowed(guard: Guard, ours: Path) -> None:
    (ours.parent / "theirs").write_text("to read")
    run(guard, sys.executable, "-m", "venv", "--without-pip", "environment", cwd=ours)
    python(
        guard,
        """
here = socket.create_server(("127.0.0.1", 0))
socket.create_connection(here.getsockname()).sendall(b"hello")
a, b = socket.socketpair()
a.sendmsg([b"hello"])
socket.socket(socket.AF_UNIX).bind("s")
open("../theirs").read()
open("/dev/null", "w").write("nothing")
open("mine", "w").write("ours")
os.makedirs("a/b")
os.rename("mine", "a/b/mine")
os.system("echo hello > a/b/c; rm -r a")
assert socket.getaddrinfo("127.0.0.1", 80)
assert grp.getgrgid(os.getgid()) and pwd.getpwuid(os.getuid())
open("/proc/self/comm", "w").write("another name")
""",
        ours,
    )
    assert guard.violations == []


def test_telemetry_of_a_library_is_reported(guard: Guard, ours: Path) -> None:
    """ONNX Runtime with telemetry, which shared/observability/telemetry.py turns off."""
    home = ours.parent / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    code = "import onnxruntime; input()"
    with subprocess.Popen(
        [*guard.command, sys.executable, "-c", code],
        env={**environment, "HOME": str(home), "ORT_DISABLE_TELEMETRY": ""},
        stdin=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_for(lambda: any(": asks DNS" in violation for violation in guard.violations), 90)
        finally:
            process.communicate("\n", timeout=30)
    assert any(f"{home}/.cache/" in violation for violation in guard.violations)


def test_a_missing_command_is_an_error_and_no_violation(guard: Guard, ours: Path) -> None:
    run(guard, "no-such-command", cwd=ours, status=1)
    assert guard.violations == []
