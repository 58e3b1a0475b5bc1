"""Photos listed in a CSV file (RFC 4180) with the columns `file` and `name`. Rows with the same text in a column
`person` are one person of several faces; other columns do not matter.
"""

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from facesearch.bulk import folder
from facesearch.bulk.photos import UNREADABLE, Failure, Listing, Photo, printable
from shared.contract import Status
from shared.errors import OperatorError

COLUMNS: Final = ("file", "name")

PERSON: Final = "person"


def listing(path: Path) -> Listing:
    """Return the photos of a CSV file in UTF-8, in its order; rows with the same file, name and person count once.
    Files are relative to its folder. Raises OperatorError if it is not in UTF-8, has no such columns or is no CSV,
    OSError if it cannot be read.
    """
    photos: list[Photo] = []
    failures: list[Failure] = []
    seen: set[tuple[str | None, ...]] = set()
    names: dict[str, str] = {}
    try:
        # utf-8-sig: spreadsheets write a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text, strict=True)
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise OperatorError(
                    f"{path} has no column `{missing[0]}`; its first line must be `file,name`, in any order"
                )
            for row in rows:
                person = row.get(PERSON) or None
                key = (row["file"], row["name"], person)
                if key in seen:
                    continue
                seen.add(key)
                found = _photo(row["file"], row["name"], path.parent, rows.line_num)
                if person is not None and isinstance(found, Photo):
                    found = _of_person(found, person, names, rows.line_num)
                if isinstance(found, Photo):
                    photos.append(found)
                else:
                    failures.append(found)
    except UnicodeDecodeError:
        raise OperatorError(f"{path} is not in UTF-8; save it as `CSV UTF-8`") from None
    except csv.Error as error:
        raise OperatorError(f"{path} is no CSV file, line {rows.reader.line_num}: {error}") from None
    return Listing(tuple(photos), tuple(failures))


def _of_person(photo: Photo, person: str, names: dict[str, str], line: int) -> Photo | Failure:
    """Return the photo as one of a person. names: of the persons so far, by their keys."""
    if names.setdefault(person, photo.name) != photo.name:
        return Failure(photo.path, photo.name, Status.INVALID_REQUEST, f"another name than its person has: line {line}")
    return replace(photo, person=person)


def _photo(file: str | None, name: str | None, below: Path, line: int) -> Photo | Failure:
    if not file or name is None:
        return Failure(file or "", name or "", Status.INVALID_REQUEST, f"no {'name' if file else 'file'}: line {line}")
    try:
        found = (below / file).is_file()
    except ValueError:  # a zero character
        found = False
    if not found:
        return Failure(printable(file), name, UNREADABLE, f"no such file: line {line}")
    return Photo(printable(file), name, partial(folder.load, below / file))
