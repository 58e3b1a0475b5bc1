"""Photos listed in a CSV file (RFC 4180) with the columns `file` and `name`; other columns do not matter."""

import csv
from functools import partial
from pathlib import Path
from typing import Final

from facesearch.bulk import folder
from facesearch.bulk.photos import UNREADABLE, Failure, Listing, Photo, printable
from shared.contract import Status
from shared.errors import OperatorError

COLUMNS: Final = ("file", "name")


def listing(path: Path) -> Listing:
    """Return the photos of a CSV file in UTF-8, in its order; rows with the same file and name count once. Files are
    relative to its folder. Raises OperatorError if
    it is not in UTF-8, has no such columns or is no CSV, OSError if it cannot be read.
    """
    photos: list[Photo] = []
    failures: list[Failure] = []
    seen: set[tuple[str | None, str | None]] = set()
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
                if (row["file"], row["name"]) in seen:
                    continue
                seen.add((row["file"], row["name"]))
                found = _photo(row["file"], row["name"], path.parent, rows.line_num)
                if isinstance(found, Photo):
                    photos.append(found)
                else:
                    failures.append(found)
    except UnicodeDecodeError:
        raise OperatorError(f"{path} is not in UTF-8; save it as `CSV UTF-8`") from None
    except csv.Error as error:
        raise OperatorError(f"{path} is no CSV file, line {rows.reader.line_num}: {error}") from None
    return Listing(tuple(photos), tuple(failures))


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
