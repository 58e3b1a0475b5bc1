"""The check of a call log: that no entry was changed, removed, moved or added, as far as hashes and heads show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final

from facesearch.call_log.reading import Line, Place, chains, lines
from shared.call_log.chain import VERSION, ZERO, Entry, LogFile, Seal
from shared.call_log.heads import Head

MOST_PROBLEMS: Final = 20
"""Problems that are told of one chain: what follows from one change may be many lines."""

NEW: Final = timedelta(minutes=1)
"""Age of the last entry of a chain below which it may have no head yet."""


@dataclass
class Report:
    """What was found. problems: sentences about what cannot be as a gateway wrote it. remarks: about what can."""

    chains: int = 0
    entries: int = 0
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass
class _Removed:
    """What entries say of the files of a chain that were removed for their age: the last file, and its last entry."""

    file: int = 0
    last: int = 0
    last_hash: str = ZERO


@dataclass
class _Checked:
    """A chain as far as it was read. first: number of its first file here. seal: by what it is hashed. number, hash,
    at: of the last entry.
    """

    name: str
    first: int
    place: Place
    seal: Seal
    begin: tuple[int, str] = (0, ZERO)
    number: int = 0
    hash: str = ZERO
    at: datetime | None = None
    is_closed: bool = False
    problems: list[str] = field(default_factory=list)
    at_heads: dict[int, str] = field(default_factory=dict)


def verify(
    folders: Sequence[Path], seal: Seal, heads: Iterable[Head] | None, days: int, former: Sequence[Seal] = ()
) -> Report:
    """Check the chains in these folders. heads: what is known of chains from elsewhere, None: nothing. days: how long
    files are kept; a head that is older says nothing of a chain of which no file is left. former: seals that chains may
    have besides, of keys that were changed.

    Raises OperatorError if a folder or a file cannot be read.
    """
    known: dict[str, list[Head]] = {}
    for head in heads or ():
        known.setdefault(head.chain, []).append(head)
    report, removed, checked = Report(), dict[str, _Removed](), dict[str, _Checked]()
    for name, files in chains(folders):
        numbers = {head.number for head in known.get(name, ())}
        checked[name] = _check_chain(name, files, (seal, *former), numbers, removed, report)
    for chain in checked.values():
        _check_begin(chain, removed.get(chain.name, _Removed()))
        report.problems += chain.problems[:MOST_PROBLEMS]
        if len(chain.problems) > MOST_PROBLEMS:
            report.problems.append(f"and {len(chain.problems) - MOST_PROBLEMS} problems more of chain {chain.name}")
    expired = datetime.now(UTC) - timedelta(days=days)
    for name, some in known.items():
        for head in some:
            _check_head(head, checked.get(name), removed.get(name, _Removed()), expired, report)
    if heads is None:
        report.remarks.append("without heads, a chain that is missing or was cut off at its end is not noticed")
    else:
        for name in [name for name in checked if name not in known]:
            _check_without_head(checked[name], report)
    report.chains = len(checked)
    return report


def _check_chain(
    name: str,
    files: Sequence[tuple[LogFile, Path]],
    seals: Sequence[Seal],
    heads: set[int],
    removed: dict[str, _Removed],
    report: Report,
) -> _Checked:
    """Check the files of a chain and note what it says about removed files."""
    chain = _Checked(name, files[0][0].number, Place(files[0][1], 1), seals[0])
    for expected, (file, path) in zip(count(chain.first), files, strict=False):
        if file.number != expected:
            chain.problems.append(f"chain {name}: file {LogFile(name, expected).name} is missing, before {path.name}")
            break
        is_last = file == files[-1][0]
        for line in lines(path):
            if line.entry is None:
                _note_unreadable(line, chain, report, is_last=is_last)
                continue
            _check_entry(line.entry, line.place, file, chain, seals)
            report.entries += 1
            if line.entry.number in heads:
                chain.at_heads[line.entry.number] = line.entry.hash
            if line.entry.event == "removed":
                _note_removed(line.entry, removed)
    return chain


def _note_unreadable(line: Line, chain: _Checked, report: Report, *, is_last: bool) -> None:
    if line.is_torn and is_last:
        report.remarks.append(f"{line.place}: is incomplete, as where a gateway was killed while it wrote")
    else:
        chain.problems.append(f"{line.place}: is no entry")


def _check_entry(entry: Entry, place: Place, file: LogFile, chain: _Checked, seals: Sequence[Seal]) -> None:
    """Check an entry against the one before, and go on from what it says."""
    previous = chain.hash
    if place.line == 1:
        previous = _check_open(entry, place, file, chain, seals)
    elif entry.event == "open":
        chain.problems.append(f"{place}: a file begins in the middle of another")
    if chain.is_closed:
        chain.problems.append(f"{place}: follows the end of its chain")
    if entry.number != chain.number + 1:
        chain.problems.append(f"{place}: is entry {entry.number} and follows entry {chain.number}")
    elif chain.seal.hash(previous, entry.content) != entry.hash:
        chain.problems.append(f"{place}: this entry or the one before is not as it was written: the hash is wrong")
    chain.number, chain.hash, chain.at = entry.number, entry.hash, entry.at
    chain.is_closed = chain.is_closed or entry.event == "close"


def _check_open(entry: Entry, place: Place, file: LogFile, chain: _Checked, seals: Sequence[Seal]) -> str:
    """Check the first entry of a file. Returns the hash before it."""
    fields = entry.fields
    previous = fields.get("previous")
    if entry.event != "open" or not isinstance(previous, str):
        chain.problems.append(f"{place}: does not begin its file")
        return chain.hash
    if fields.get("version") != VERSION:
        chain.problems.append(
            f"{place}: version {fields.get('version')} of the format, and this release knows {VERSION}"
        )
    if (fields.get("chain"), fields.get("file")) != (file.chain, file.number):
        chain.problems.append(f"{place}: belongs to another file than its name says")
    if file.number == chain.first:
        chain.seal = next((seal for seal in seals if seal.name == fields.get("seal")), chain.seal)
    if fields.get("seal") != chain.seal.name:
        chain.problems.append(
            f"{place}: its chain is hashed by {fields.get('seal')}, and here is {chain.seal.name}: is "
            "FACESEARCH_CALL_LOG_KEY the gateway's?"
        )
    if file.number == chain.first:
        chain.begin = entry.number, previous
        chain.number, chain.hash = entry.number - 1, previous
    return chain.hash


def _note_removed(entry: Entry, removed: dict[str, _Removed]) -> None:
    fields = entry.fields
    chain, file = fields.get("chain"), fields.get("file")
    last, last_hash = fields.get("last", 0), fields.get("last_hash", ZERO)
    if isinstance(chain, str) and type(file) is int and type(last) is int and isinstance(last_hash, str):
        known = removed.setdefault(chain, _Removed())
        if file > known.file:
            removed[chain] = _Removed(file, max(last, known.last), last_hash if last else known.last_hash)


def _check_begin(chain: _Checked, removed: _Removed) -> None:
    """Check that what is missing before the first file here was removed for its age."""
    number, previous = chain.begin
    if chain.first == 1:
        if (number, previous) not in ((1, ZERO), (0, ZERO)):
            chain.problems.append(f"{chain.place}: is not the beginning of its chain")
    elif removed.file < chain.first - 1:
        chain.problems.append(
            f"chain {chain.name}: file {LogFile(chain.name, chain.first - 1).name} is missing, and no entry says that "
            "it was removed for its age"
        )
    elif removed.file == chain.first - 1 and number and (number - 1, previous) != (removed.last, removed.last_hash):
        chain.problems.append(f"{chain.place}: does not follow the file before it, which was removed for its age")


def _check_head(head: Head, chain: _Checked | None, removed: _Removed, expired: datetime, report: Report) -> None:
    """Check that the chain has the entry which its head names."""
    begin = chain.begin[0] if chain is not None and chain.begin[0] else None
    if head.number <= removed.last and (begin is None or head.number < begin):
        return
    if chain is None:
        if head.at < expired:
            report.remarks.append(f"chain {head.chain}, until {head.at:%Y-%m-%d}: is older than the log is kept")
            return
        report.problems.append(
            f"chain {head.chain} is missing: a gateway on {head.host} wrote it until {head.at:%Y-%m-%d %H:%M:%S} UTC; "
            "is it in another folder?"
        )
    elif head.number > chain.number:
        report.problems.append(
            f"chain {head.chain}: ends with entry {chain.number}, and there was entry {head.number} by "
            f"{head.at:%Y-%m-%d %H:%M:%S} UTC: its end was cut off"
        )
    elif chain.at_heads.get(head.number) != head.hash:
        report.problems.append(
            f"chain {head.chain}: entry {head.number} is not the one that its head names: the chain was made anew"
        )


def _check_without_head(chain: _Checked, report: Report) -> None:
    """A chain has a head within seconds, unless the broker is away."""
    if chain.at is not None and datetime.now(UTC) - chain.at < NEW:
        report.remarks.append(f"chain {chain.name}: has no head yet")
    else:
        report.problems.append(
            f"chain {chain.name}: there is no head of it, so nobody can tell whether its end was cut off; was it added "
            "by somebody else, or its head removed from the broker?"
        )
