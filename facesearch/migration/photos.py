"""Which persons a photo may show, by the name of its file, its folder or a column of a CSV file."""

import csv
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from facesearch.bulk import folder, sources
from facesearch.bulk.photos import UNREADABLE, Failure, Listing, Photo, printable
from shared.errors import OperatorError
from shared.migration_jobs import SeenPerson

NamesFrom = Literal["folder", "file"]

COLUMNS: Final = ("person_id", "external_id", "name")
"""Columns of a CSV file beside `file`, any of which says whom a photo shows: the first that is not empty."""


@contextmanager
def opened(source: Path, names_from: NamesFrom | None) -> Iterator[Listing]:
    """Yield the photos of a folder, a ZIP file or a CSV file, each with what names its person in place of a name.
    Raises OperatorError as facesearch.bulk.sources does.
    """
    if source.suffix.lower() == ".csv" and source.is_file():
        yield _table(source)
        return
    with sources.opened(source, names_from) as found:
        yield found


@dataclass
class Persons:
    """The persons of a facedb by what may name them. missing: those of whom the new model does not have all faces."""

    missing: dict[uuid.UUID, SeenPerson] = field(default_factory=dict)
    count: int = 0
    _faces: dict[uuid.UUID, set[uuid.UUID]] = field(default_factory=lambda: defaultdict(set))
    _by_key: dict[str, list[uuid.UUID]] = field(default_factory=lambda: defaultdict(list))

    def add(self, person: SeenPerson) -> None:
        self.count += 1
        if person.migrated < person.faces:
            self.missing[person.person_id] = person
        keys = {str(person.person_id), person.external_id, person.name} - {None}
        for key in keys:
            self._by_key[str(key)].append(person.person_id)

    def migrated(self, person_id: uuid.UUID, face_id: uuid.UUID) -> None:
        """Take into account that the new model has this face. A person of several faces counts as missing until the
        next reconciliation, unless all of them came in this run.
        """
        person, faces = self.missing.get(person_id), self._faces[person_id]
        faces.add(face_id)
        if person is not None and len(faces) >= person.faces:
            del self.missing[person_id]

    def named(self, key: str) -> Sequence[uuid.UUID]:
        """Return the persons with that person_id, external_id or name; several may have one name."""
        return self._by_key.get(key, ())


def _table(path: Path) -> Listing:
    photos: list[Photo] = []
    failures: list[Failure] = []
    try:
        # utf-8-sig: spreadsheets write a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text, strict=True)
            columns = [column for column in COLUMNS if column in (rows.fieldnames or ())]
            if "file" not in (rows.fieldnames or ()) or not columns:
                raise OperatorError(f"{path} needs the column `file` and one of {', '.join(COLUMNS)}")
            for row in rows:
                key = next((row[column] for column in columns if row[column]), "")
                file = row["file"] or ""
                if file and (path.parent / file).is_file():
                    photos.append(Photo(printable(file), key, partial(folder.load, path.parent / file)))
                else:
                    failures.append(Failure(printable(file), key, UNREADABLE, f"no such file: line {rows.line_num}"))
    except UnicodeDecodeError:
        raise OperatorError(f"{path} is not in UTF-8; save it as `CSV UTF-8`") from None
    except csv.Error as error:
        raise OperatorError(f"{path} is no CSV file, line {rows.reader.line_num}: {error}") from None
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {error.strerror}") from None
    return Listing(tuple(photos), tuple(failures))
