"""Photos listed in a CSV file (RFC 4180) with the columns `file` and `name`, and perhaps `person`, `external_id` and
`metadata`. Rows with the same text in the column `person` or, where it has none, the same external_id are one person
of several faces. Other columns do not matter.
"""

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from facesearch.bulk import folder
from facesearch.bulk.photos import UNREADABLE, Failure, Listing, Photo, printable
from shared.contract import Status
from shared.errors import OperatorError
from shared.persons import compact_metadata, is_external_id

REQUIRED: Final = ("file", "name")

OPTIONAL: Final = ("person", "external_id", "metadata")


class _Wrong(Exception):
    """A row cannot be added. column: that is wrong; "" for the row as a whole."""

    def __init__(self, reason: str, column: str, status: str = Status.INVALID_REQUEST) -> None:
        super().__init__(reason)
        self.reason, self.column, self.status = reason, column, status


def listing(path: Path) -> Listing:
    """Return the photos of a CSV file in UTF-8, in its order; rows that say the same count once. Files are relative to
    its folder. Raises OperatorError if it is not in UTF-8, has no such columns or is no CSV, OSError if it cannot be
    read.
    """
    photos: list[Photo] = []
    failures: list[Failure] = []
    seen: set[tuple[str | None, ...]] = set()
    persons = _Persons()
    try:
        # utf-8-sig: spreadsheets write a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text, strict=True)
            columns = rows.fieldnames or ()
            _require_columns(path, columns)
            for row in rows:
                key = tuple(row.get(column) for column in (*REQUIRED, *OPTIONAL))
                if key in seen:
                    continue
                seen.add(key)
                try:
                    photo = _photo(row, path.parent, rows.line_num)
                    persons.check(photo)
                except _Wrong as error:
                    where = f"line {rows.line_num}{error.column and f', column {error.column}'}"
                    file, name = printable(row["file"] or ""), row["name"] or ""
                    failures.append(Failure(file, name, error.status, f"{error.reason}: {where}"))
                else:
                    photos.append(photo)
    except UnicodeDecodeError:
        raise OperatorError(f"{path} is not in UTF-8; save it as `CSV UTF-8`") from None
    except csv.Error as error:
        raise OperatorError(f"{path} is no CSV file, line {rows.reader.line_num}: {error}") from None
    unused = tuple(column for column in columns if column not in (*REQUIRED, *OPTIONAL))
    return Listing(tuple(photos), tuple(failures), unused=unused)


def _require_columns(path: Path, columns: Sequence[str]) -> None:
    for column in REQUIRED:
        if column not in columns:
            raise OperatorError(f"{path} has no column `{column}`; its first line must be `file,name`, in any order")
    for column in (*REQUIRED, *OPTIONAL):
        if columns.count(column) > 1:
            raise OperatorError(f"{path} has the column `{column}` twice; remove one of them")


def _photo(row: dict[str, Any], below: Path, line: int) -> Photo:
    """Return the photo of a row. Raises _Wrong."""
    file, name, person = row["file"], row["name"], row.get("person") or None
    external_id, metadata = row.get("external_id") or None, row.get("metadata") or None
    if any(row.get(None, ())):  # type: ignore[call-overload]  # the csv module has them there
        raise _Wrong("more cells than columns; put text with a comma in quotes", "")
    if not file:
        raise _Wrong("no file", "file")
    if name is None:
        raise _Wrong("no name", "name")
    if not _is_file(below / file):
        raise _Wrong("no such file", "file", UNREADABLE)
    if external_id is not None and not is_external_id(external_id):
        raise _Wrong("external_id is not 1 to 128 visible ASCII characters", "external_id")
    if metadata is not None:
        try:
            metadata = compact_metadata(metadata)
        except ValueError:
            raise _Wrong("metadata is no JSON object as addface takes it", "metadata") from None
    load = partial(folder.load, below / file)
    return Photo(printable(file), name, load, person or external_id, external_id, metadata, line)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except ValueError:  # a zero character
        return False


class _Persons:
    """The persons of a table so far."""

    def __init__(self) -> None:
        self._first: dict[str, Photo] = {}
        self._with_external_id: dict[str, str] = {}

    def check(self, photo: Photo) -> None:
        """Raise _Wrong if a photo says something else of its person than an earlier one does."""
        if photo.person is None:
            return
        first = self._first.setdefault(photo.person, photo)
        for column in ("name", "external_id", "metadata"):
            if getattr(photo, column) != getattr(first, column):
                raise _Wrong(f"another {column} than its person has", column)
        if photo.external_id is not None:
            owner = self._with_external_id.setdefault(photo.external_id, photo.person)
            if owner != photo.person:
                raise _Wrong("another person has this external_id", "external_id")
