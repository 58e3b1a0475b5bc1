"""The journal of an import: JSON Lines, written before a photo is sent and when its outcome is known.

    {"journal": "facesearch import", "version": 1, "service": URL, "facedb": NAME or "", "salt": TEXT, "persons": BOOL}
    {"id": ID, "file": PATH, "name": NAME, "faces": WHICH, "sent": Unix time in whole seconds, "person": KEY, "to": ID,
     "attributes": {"external_id": TEXT, "metadata": TEXT}}
    {"id": ID, "added": [person_id, ...]}  or  {"id": ID, "status": STATUS, "reason": TEXT}

persons, person and to are there where persons have several faces: that the import is such a one, what all photos of a
person have in common, and the person_id that the photo was added to, null for the first one. attributes is there where
a new person has any.

A line is with the system before the photo is sent, so a killed import loses none; the disk has it a second later. What
ends within a line, as a file does that was written when the disk was full, is as good as without that line: every
prefix of a journal is a journal.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from facesearch.bulk.photos import Photo
from shared.contract import Faces
from shared.errors import OperatorError

SYNC_S: Final = 1.0
"""Seconds after which the disk has a line. A power cut loses later ones: then the service still knows what was added,
by its idempotency records.
"""

_KIND: Final = "facesearch import"
_VERSION: Final = 1
_BEGINNING: Final = json.dumps({"journal": _KIND}).removesuffix("}").encode()
"""What every journal begins with."""


@dataclass(frozen=True)
class Target:
    """Where photos are added. service: its URL. facedb: "" for the key's own default. persons: whether as persons of
    several faces.
    """

    service: str
    facedb: str
    persons: bool = False


@dataclass(frozen=True)
class Sent:
    """A photo that was sent, and no outcome is known. at: when it was first sent, Unix time in seconds. person: as of
    the photo. to: the person_id that it was added to; None for the first photo of a person. attributes: with which it
    was sent, as Photo.attributes.
    """

    path: str
    name: str
    faces: Faces
    at: float
    person: str | None = None
    to: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass
class State:
    """What a journal says. added: ids of photos that were added. unresolved: photos without a known outcome, by id.
    salt: see idempotency_key. persons: of persons of several faces the person_id, by what their photos have in common.
    faces: how many photos of each were added.
    """

    salt: str = ""
    added: set[str] = field(default_factory=set)
    unresolved: dict[str, Sent] = field(default_factory=dict)
    persons: dict[str, str] = field(default_factory=dict)
    faces: Counter[str] = field(default_factory=Counter)


def photo_id(facedb: str, name: str, path: str, data: bytes, person: str | None = None) -> str:
    """Return the id of a photo, the same on every machine: 32 hexadecimal digits. path: within its source. data: the
    encoded image. person: as of the photo.
    """
    parts = [facedb, name, path, hashlib.sha256(data).hexdigest(), *([] if person is None else [person])]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def idempotency_key(salt: str, photo: str, faces: Faces, to: str | None = None) -> str:
    """Return the Idempotency-Key of adding a photo. photo: its id. salt: "", or what makes it another key than that of
    an earlier import of the same photo. to: the person_id that it is added to.
    """
    parts = [salt, photo, faces, *([] if to is None else [to])]
    return "import-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def parse(content: bytes, where: Path, target: Target) -> tuple[State | None, int]:
    """Return what a journal says, and the length of its complete lines in bytes. None: it has not even a first line.

    Raises OperatorError if it is no journal, damaged, of another release, or of an import into another target. where:
    for its text.
    """
    *lines, rest = content.split(b"\n")
    if not lines:
        if not (rest.startswith(_BEGINNING) or _BEGINNING.startswith(rest)):
            raise _no_journal(where)
        return None, 0
    head = _record(lines[0], where, 1)
    if head.get("journal") != _KIND:
        raise _no_journal(where)
    if head.get("version") != _VERSION:
        raise OperatorError(f"the journal {where} is of another release; name a new one with --journal")
    if (head.get("service"), head.get("facedb")) != (target.service, target.facedb):
        raise OperatorError(
            f"the journal {where} is of an import into {_described(head)}; name another one with --journal or, if that "
            "is the same service at another address, correct the address in its first line"
        )
    if bool(head.get("persons")) is not target.persons:
        raise OperatorError(
            f"the journal {where} is of an import of persons with {'one face' if target.persons else 'several faces'} "
            "each; name another one with --journal"
        )
    state = State(str(head.get("salt", "")))
    for number, line in enumerate(lines[1:], 2):
        try:
            _apply(state, _record(line, where, number))
        except (KeyError, TypeError, ValueError):
            raise _damaged(where, number) from None
    return state, len(content) - len(rest)


def read(path: Path, target: Target) -> State:
    """Return what the journal in a file says; nothing if there is no such file. Raises OperatorError as `parse` does,
    and if the file cannot be read.
    """
    try:
        if not path.exists():
            return State()
        _require_regular(path, path.stat())
        found, _ = parse(path.read_bytes(), path, target)
    except OSError as error:
        raise OperatorError(f"cannot read the journal {path}: {error.strerror}") from None
    return found or State()


class Journal:
    """An open journal. state: what it says so far."""

    def __init__(self, path: Path, descriptor: int, state: State) -> None:
        self.path = path
        self.state = state
        self._descriptor = descriptor
        self._is_synced = True

    def sent(self, identity: str, photo: Photo, faces: Faces, to: str | None) -> None:
        """Record that a photo with this id is about to be sent. to: as of Sent."""
        record = {"id": identity, "file": photo.path, "name": photo.name, "faces": faces, "sent": int(time.time())}
        if photo.person is not None:
            record |= {"person": photo.person, "to": to}
        if to is None and photo.attributes:
            record |= {"attributes": photo.attributes}
        self._write(record)

    def added(self, photo: str, person_ids: Sequence[str]) -> None:
        """Record that a photo was added."""
        self._write({"id": photo, "added": list(person_ids)})

    def refused(self, photo: str, status: str, reason: str) -> None:
        """Record that nothing of a photo was added, so that it may be sent again."""
        self._write({"id": photo, "status": status, "reason": reason})

    async def keep_synced(self) -> None:
        """Bring what was written to the disk, every SYNC_S, until cancelled."""
        while True:
            await asyncio.sleep(SYNC_S)
            if not self._is_synced:
                self._is_synced = True
                await asyncio.to_thread(self.sync)

    def sync(self) -> None:
        """Bring everything to the disk. Raises OperatorError."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise _not_written(self.path, error) from None

    def _write(self, record: dict[str, Any]) -> None:
        _append(self.path, self._descriptor, record)
        _apply(self.state, record)
        self._is_synced = False


@contextmanager
def opened(path: Path, target: Target, salt: str | None = None) -> Iterator[Journal]:
    """Open the journal in a file, which is made if there is none, for one import at a time. salt: that of a new
    journal; there must be none yet unless it is None.

    Raises OperatorError as `parse` does, if the file cannot be written, or if another import has it open.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_written(path, error) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OperatorError(f"another import writes the journal {path}; wait for its end") from None
        state = _recovered(path, descriptor, target, salt)
        journal = Journal(path, descriptor, state)
        yield journal
        journal.sync()
    finally:
        os.close(descriptor)


def _recovered(path: Path, descriptor: int, target: Target, salt: str | None) -> State:
    """Return what the journal says, after removing an incomplete last line, and write the first line of a new one."""
    _require_regular(path, os.fstat(descriptor))
    with open(descriptor, "rb", closefd=False) as file:
        state, length = parse(file.read(), path, target)
    try:
        os.ftruncate(descriptor, length)
        if state is None:
            head = {"journal": _KIND, "version": _VERSION, "service": target.service, "facedb": target.facedb}
            state = State(salt or "")
            _append(path, descriptor, head | {"salt": state.salt} | ({"persons": True} if target.persons else {}))
            os.fsync(descriptor)
            _sync_folder(path.parent)
        elif salt is not None:
            raise OperatorError(
                f"the journal {path} is of an import that --anew would forget; go on without --anew, or remove it"
            )
    except OSError as error:
        raise _not_written(path, error) from None
    return state


def _require_regular(path: Path, status: os.stat_result) -> None:
    """Raise OperatorError unless it is a regular file: reading a device may never end."""
    if not stat.S_ISREG(status.st_mode):
        raise _no_journal(path)


def _sync_folder(folder: Path) -> None:
    # Some file systems cannot; then they keep a new name without.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _append(path: Path, descriptor: int, record: dict[str, Any]) -> None:
    line = json.dumps(record).encode() + b"\n"
    try:
        written = os.write(descriptor, line)
    except OSError as error:
        raise _not_written(path, error) from None
    if written < len(line):
        raise OperatorError(f"cannot write the journal {path}: the disk is full")


def _record(line: bytes, where: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:  # no UTF-8 either
        record = None
    if not isinstance(record, dict):
        raise _no_journal(where) if number == 1 else _damaged(where, number)
    return record


def _apply(state: State, record: dict[str, Any]) -> None:
    """Add a line after the first one to the state. Raises KeyError, TypeError or ValueError if it is none."""
    photo = str(record["id"])
    if "sent" in record:
        person, to = (None if record.get(key) is None else str(record[key]) for key in ("person", "to"))
        faces, at = Faces(record["faces"]), float(record["sent"])
        attributes = {str(key): str(text) for key, text in dict(record.get("attributes", {})).items()}
        sent = Sent(str(record["file"]), str(record["name"]), faces, at, person, to, attributes)
        # The first time counts: the service remembers a request from then on.
        state.unresolved.setdefault(photo, sent)
        return
    resolved = state.unresolved.pop(photo, None)
    if "added" not in record:
        str(record["status"])
        return
    state.added.add(photo)
    if resolved is not None and resolved.person is not None:
        state.persons.setdefault(resolved.person, str(record["added"][0]))
        state.faces[resolved.person] += 1


def _described(head: dict[str, Any]) -> str:
    facedb = head.get("facedb")
    return f"{f'facedb {facedb}' if facedb else 'the default facedb'} at {head.get('service')}"


def _no_journal(where: Path) -> OperatorError:
    return OperatorError(f"{where} is no journal of an import; name another file with --journal")


def _damaged(where: Path, number: int) -> OperatorError:
    return OperatorError(
        f"the journal {where} is damaged in line {number}; correct it, or name a new one with --journal"
    )


def _not_written(path: Path, error: OSError) -> OperatorError:
    return OperatorError(f"cannot write the journal {path}: {error.strerror}; name another place with --journal")
