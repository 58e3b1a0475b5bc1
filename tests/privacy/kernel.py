"""The interface to the kernel for the guard: some system calls wait for its answer (seccomp user notification).

No call escapes it: it holds for every thread and child, whatever library or language the call comes from. Sources:
seccomp(2), seccomp_unotify(2), and linux/seccomp.h, filter.h and audit.h.
"""

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_… by machine."""

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_PIDFD_GETFD: Final = 438

_COMMON: Final = {"openat2": 437, "io_uring_setup": 425}

NUMBERS: Final = {
    "x86_64": {
        **_COMMON,
        "open": 2,
        "openat": 257,
        "creat": 85,
        "truncate": 76,
        "mkdir": 83,
        "mkdirat": 258,
        "mknod": 133,
        "mknodat": 259,
        "rmdir": 84,
        "unlink": 87,
        "unlinkat": 263,
        "rename": 82,
        "renameat": 264,
        "renameat2": 316,
        "link": 86,
        "linkat": 265,
        "symlink": 88,
        "symlinkat": 266,
        "connect": 42,
        "bind": 49,
        "sendto": 44,
        "sendmsg": 46,
        "sendmmsg": 307,
    },
    "aarch64": {
        **_COMMON,
        "openat": 56,
        "truncate": 45,
        "mkdirat": 34,
        "mknodat": 33,
        "unlinkat": 35,
        "renameat": 38,
        "renameat2": 276,
        "linkat": 37,
        "symlinkat": 36,
        "connect": 203,
        "bind": 200,
        "sendto": 206,
        "sendmsg": 211,
        "sendmmsg": 269,
    },
}
"""System call numbers by name, by machine."""

WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
"""Flags of an open call that may change something."""

_FLAGS: Final = {"open": 1, "openat": 2}
"""The argument with such flags, by call."""

_ADDRESS: Final = {"sendto": 4}
"""The argument with a pointer to an address, null on a connection, by call."""

_REFUSED: Final = ("io_uring_setup",)
"""Calls that are refused: the kernel then does I/O past the filter. They do not exist in many containers either."""


class _Do(Enum):
    """A filter's answer."""

    ALLOW = 0x7FFF0000
    ASK = 0x7FC00000
    NO_SUCH_CALL = 0x00050000 | errno.ENOSYS


_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
_X32 = 0x40000000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1

_LIBRARY: Final = ctypes.CDLL(None, use_errno=True)
_NAMES: Final = {number: name for name, number in NUMBERS.get(platform.machine(), {}).items()}


def _filter(machine: str) -> bytes:
    """Return the program that checks each call. Little-endian, as both machines are."""
    made = bytearray()

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> None:
        made.extend(struct.pack("<HBBI", code, yes, no, value))

    def argument(index: int, *, high: bool = False) -> None:
        step(_LOAD, 16 + 8 * index + 4 * high)

    step(_LOAD, 4)
    step(_EQUAL, _ARCHITECTURES[machine], 1, 0)
    step(_RETURN, _Do.NO_SUCH_CALL.value)
    step(_LOAD, 0)
    step(_AT_LEAST, _X32, 0, 1)
    step(_RETURN, _Do.NO_SUCH_CALL.value)
    for name, number in NUMBERS[machine].items():
        if name in _FLAGS:
            step(_EQUAL, number, 0, 4)
            argument(_FLAGS[name])
            step(_ANY_BIT, WRITES, 0, 1)
            step(_RETURN, _Do.ASK.value)
            step(_RETURN, _Do.ALLOW.value)
        elif name in _ADDRESS:
            step(_EQUAL, number, 0, 6)
            argument(_ADDRESS[name])
            step(_EQUAL, 0, 0, 2)
            argument(_ADDRESS[name], high=True)
            step(_EQUAL, 0, 1, 0)
            step(_RETURN, _Do.ASK.value)
            step(_RETURN, _Do.ALLOW.value)
        else:
            step(_EQUAL, number, 0, 1)
            step(_RETURN, (_Do.NO_SUCH_CALL if name in _REFUSED else _Do.ASK).value)
    step(_RETURN, _Do.ALLOW.value)
    return bytes(made)


class _Program(ctypes.Structure):
    _fields_ = (("steps", ctypes.c_ushort), ("first", ctypes.c_char_p))


def _call(number: int, *arguments: object) -> int:
    """Make a system call. Raises OSError."""
    made = _LIBRARY.syscall(ctypes.c_long(number), *arguments)
    if made < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(made)


def watch_me() -> int:
    """Watch this process and all that it starts from now on.

    Returns the descriptor of the notifications, which closes on exec. A watched call waits until it is answered there.
    Raises OSError.
    """
    if _LIBRARY.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS, without which only root may do this
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    steps = _filter(platform.machine())
    program = _Program(len(steps) // 8, steps)
    flags = ctypes.c_uint(_NEW_LISTENER | _WAIT_KILLABLE)
    return _call(_SECCOMP[platform.machine()], ctypes.c_uint(1), flags, ctypes.byref(program))


def taken(pid: int, descriptor: int) -> int:
    """Return a copy of another process's descriptor. Raises OSError."""
    process = os.pidfd_open(pid)
    try:
        return _call(_PIDFD_GETFD, ctypes.c_int(process), ctypes.c_int(descriptor), ctypes.c_uint(0))
    finally:
        os.close(process)


@dataclass(frozen=True)
class Call:
    """A system call that waits for an answer. pid: of the thread that makes it."""

    id: int
    pid: int
    name: str
    arguments: tuple[int, ...]

    def memory(self, address: int, size: int) -> bytes:
        """Read the process's memory, less if it ends before. Raises OSError."""
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as file:  # noqa: PTH123 -- no path of a tree
            return os.pread(file.fileno(), size, address)

    def text(self, address: int) -> str:
        """Read a C string from the process's memory."""
        return os.fsdecode(self.memory(address, 4096).split(b"\0", 1)[0])


def received(listener: int) -> Call | None:
    """Return the next call, None if its process has ended. Blocks while there is none."""
    buffer = ctypes.create_string_buffer(80)
    if _LIBRARY.ioctl(listener, ctypes.c_ulong(_RECEIVE), buffer):
        if ctypes.get_errno() == errno.ENOENT:
            return None
        raise OSError(ctypes.get_errno(), "SECCOMP_IOCTL_NOTIF_RECV")
    number, pid, _, called, _, _, *arguments = struct.unpack("=QIIiIQ6Q", buffer.raw)
    return Call(number, pid, _NAMES[called], tuple(arguments))


def answer(listener: int, call: Call, error: int = 0) -> None:
    """Let the call be made, or fail with that errno."""
    response = struct.pack("=QqiI", call.id, 0, -error, 0 if error else _CONTINUE)
    # Fails if the process has ended meanwhile.
    _LIBRARY.ioctl(listener, ctypes.c_ulong(_SEND), response)
