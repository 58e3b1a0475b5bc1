"""A guard over processes: it reports each DNS query, each connection to another machine, and each change to a file
outside some folders, and prevents the first two. See kernel.py for how.
"""

import errno
import os
import platform
import select
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final, Self

from privacy import kernel
from privacy.kernel import Call

DNS: Final = 53

_DEVICES: Final = ("/dev/null", "/dev/tty", "/dev/full")

_ACCOUNTS: Final = ("/run/nscd/", "/run/systemd/userdb/")
"""Services that the C library asks for the name of a user or a group, the first for hosts too. They appear absent: then
it reads the files of this machine, or asks DNS, which is seen.
"""

_AT_FOLDER: Final = -100  # AT_FDCWD: relative to the working folder

_PATHS: Final[dict[str, tuple[tuple[int | None, int], ...]]] = {
    **dict.fromkeys(("open", "creat", "truncate", "mkdir", "mknod", "rmdir", "unlink"), ((None, 0),)),
    **dict.fromkeys(("openat", "openat2", "mkdirat", "mknodat", "unlinkat"), ((0, 1),)),
    "rename": ((None, 0), (None, 1)),
    **dict.fromkeys(("renameat", "renameat2"), ((0, 1), (2, 3))),
    "link": ((None, 1),),
    "linkat": ((2, 3),),
    "symlink": ((None, 1),),
    "symlinkat": ((1, 2),),
}
"""The arguments of a call that name the changed file: the folder's descriptor, None if there is none, and the path."""

_THROUGH_LINKS: Final = ("open", "openat", "openat2", "creat", "truncate")


def why_not() -> str:
    """Return why there can be no guard here, "" if there can."""
    if sys.platform != "linux" or platform.machine() not in kernel.NUMBERS:
        return "the guard knows Linux on x86-64 and ARM64 alone"
    with Guard([]) as guard:
        launcher, note = os.pipe()
        pid = os.posix_spawnp(
            guard.command[0],
            [*guard.command, "true"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, note, 2)],
        )
        os.close(note)
        with open(launcher, "rb") as said:  # noqa: PTH123 -- a pipe
            output = said.read().decode(errors="replace").strip().splitlines()
        status = os.waitpid(pid, 0)[1]
    return f"this kernel does not let processes be watched: {output[-1] if output else status}" if status else ""


@dataclass
class Guard:
    """Watches, for a block, processes that are started with `command` before their own.

    ours: folders in which anything may be written. known: files and sockets elsewhere that may be used.
    """

    ours: Sequence[Path]
    known: Collection[str] = ()
    _found: dict[str, None] = field(default_factory=dict)  # in order, without repetitions

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("launch.py")), self._path]

    @property
    def violations(self) -> list[str]:
        """Return descriptions of all that was not allowed, in order, without repetitions."""
        return list(self._found)

    def __enter__(self) -> Self:
        self._roots = [os.path.realpath(folder) for folder in self.ours]
        with ExitStack() as stack:
            # Short, since the path of a Unix socket is limited.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="guard-"))
            self._path = f"{folder}/s"
            self._server = stack.enter_context(socket.create_server(self._path, family=socket.AF_UNIX))
            self._poll = stack.enter_context(select.epoll())
            wake, self._wake = map(stack.enter_context, socket.socketpair())
            self._listeners: set[int] = set()
            for each in (self._server, wake):
                self._poll.register(each, select.EPOLLIN)
            self._thread = threading.Thread(target=self._watch, args=(wake.fileno(),), name="guard", daemon=True)
            self._thread.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self._wake.send(b"1")
            self._thread.join()

    def _watch(self, wake: int) -> None:
        while True:
            for descriptor, events in self._poll.poll():
                if descriptor == wake:
                    for listener in self._listeners:
                        os.close(listener)
                    return
                if descriptor == self._server.fileno():
                    self._accept()
                elif events & select.EPOLLIN:
                    self._judge(descriptor)
                else:  # the last watched process has ended
                    self._poll.unregister(descriptor)
                    self._listeners.remove(descriptor)
                    os.close(descriptor)

    def _accept(self) -> None:
        """Accept a command that is about to start. One that cannot be watched reports it itself and ends."""
        connection = self._server.accept()[0]
        with connection:
            words = connection.makefile().readline().split()
            if words:
                try:
                    listener = kernel.taken(*map(int, words))
                except OSError as error:
                    self._found[f"the guard cannot watch: {error}"] = None
                else:
                    self._listeners.add(listener)
                    self._poll.register(listener, select.EPOLLIN)
                    connection.send(b"1")

    def _judge(self, listener: int) -> None:
        call = kernel.received(listener)
        if call is None:
            return
        error = 0
        try:
            for what, refused in self._violations(call):
                if what:
                    self._found[f"{_process(call.pid)}: {what}"] = None
                error = refused or error
        except OSError as failed:
            # The process may have been killed while it waits; if not, the call is unknown.
            if Path(f"/proc/{call.pid}").exists():
                self._found[f"the guard could not read {call.name} of {_process(call.pid)}: {failed}"] = None
        kernel.answer(listener, call, error)

    def _violations(self, call: Call) -> Iterator[tuple[str, int]]:
        """Yield each violation of a call, "" if there is none, with the errno that it gets, 0 if it may go on."""
        if call.name in _PATHS:
            for folder, argument in _PATHS[call.name]:
                path = _path(call, folder, argument)
                if not self._may_change(call, path):
                    yield f"{call.name} {path}", 0
        else:
            for address in _addresses(call):
                yield from self._far(call, address)

    def _may_change(self, call: Call, path: str) -> bool:
        if call.name == "openat2":
            (flags,) = struct.unpack("=Q", call.memory(call.arguments[2], 8))
            if not flags & kernel.WRITES:
                return True
        return path in _DEVICES or path.startswith(f"/proc/{call.pid}/") or self._is_ours(path)

    def _is_ours(self, path: str) -> bool:
        in_ours = any(path == root or path.startswith(f"{root}/") for root in self._roots)
        return in_ours or path in self.known or _is_bytecode(path)

    def _far(self, call: Call, address: bytes) -> Iterator[tuple[str, int]]:
        (family,) = struct.unpack("=H", address[:2])
        if family == socket.AF_UNIX:
            name = os.fsdecode(address[2:])
            # Abstract sockets, which are on no disk, begin with a zero.
            path = f"@{name[1:]}" if name[:1] == "\0" else _absolute(call, name.split("\0", 1)[0])
            if path.startswith(_ACCOUNTS):
                yield "", errno.ECONNREFUSED
            elif not self._is_ours(path):
                yield f"{call.name} {path}", 0
        elif family in {socket.AF_INET, socket.AF_INET6}:
            host, port = _host(family, address)
            if call.name == "bind":
                return
            if port == DNS:
                yield f"asks DNS, {call.name} to {host}", errno.ENETUNREACH
            elif not host.is_loopback:
                yield f"{call.name} to {host} port {port}", errno.ENETUNREACH
        elif family not in {socket.AF_UNSPEC, socket.AF_NETLINK}:
            yield f"{call.name} to an address of family {family}", errno.ENETUNREACH


def _process(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "a process"
    return " ".join(" ".join(os.fsdecode(word) for word in words).split())[:120]


def _is_bytecode(path: str) -> bool:
    """Return whether the path is Python's own compiled copy of a module, beside it."""
    return "/__pycache__" in path and path.startswith((sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])))


def _path(call: Call, folder: int | None, argument: int) -> str:
    """Return the absolute path that a call means, with links followed as the call does."""
    path = call.text(call.arguments[argument]).replace("/proc/self/", f"/proc/{call.pid}/")
    if folder is None:
        descriptor = _AT_FOLDER
    else:
        (descriptor,) = struct.unpack("=i", struct.pack("=Q", call.arguments[folder])[:4])
    if call.name in _THROUGH_LINKS:
        return _absolute(call, path, descriptor)
    parent, _, name = path.rstrip("/").rpartition("/")
    return f"{_absolute(call, parent or ('/' if path.startswith('/') else '.'), descriptor)}/{name}"


def _absolute(call: Call, path: str, folder: int = _AT_FOLDER) -> str:
    """Return the path relative to that folder of the process, with links followed."""
    where = "cwd" if folder == _AT_FOLDER else f"fd/{folder}"
    # Read, not followed: a file that another process has open may have no path any more.
    return os.path.realpath(Path(f"/proc/{call.pid}/{where}").readlink() / path)


def _addresses(call: Call) -> Iterator[bytes]:
    """Yield the addresses that a call sends to; none on a connection, which was checked before."""
    if call.name in {"connect", "bind"}:
        pairs = [(call.arguments[1], call.arguments[2])]
    elif call.name == "sendto":
        pairs = [(call.arguments[4], call.arguments[5])]
    else:
        count = call.arguments[2] if call.name == "sendmmsg" else 1
        pairs = [
            struct.unpack("=QI", call.memory(call.arguments[1] + 64 * number, 12)) for number in range(count & 0xFFFF)
        ]
    for pointer, length in pairs:
        if pointer and (address := call.memory(pointer, min(length & 0xFFFFFFFF, 128))):
            yield address


def _host(family: int, address: bytes) -> tuple[IPv4Address | IPv6Address, int]:
    (port,) = struct.unpack("!H", address[2:4])
    if family == socket.AF_INET:
        return IPv4Address(address[4:8]), port
    whole = IPv6Address(address[8:24])
    return whole.ipv4_mapped or whole, port
