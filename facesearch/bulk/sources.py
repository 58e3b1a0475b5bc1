"""Opening what is imported: a folder, a CSV file or a ZIP file."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from facesearch.bulk import archive, folder, table
from facesearch.bulk.photos import Listing
from shared.errors import OperatorError

NamesFrom = Literal["folder", "file"]


@contextmanager
def opened(source: Path, names_from: NamesFrom | None, *, person_per_folder: bool = False) -> Iterator[Listing]:
    """Yield what is in a source; its photos can be loaded until the end of the block. names_from: where names come from
    in a folder or a ZIP file, by default `folder`; a CSV file has them in a column. person_per_folder: whether the
    photos of each folder in it are one person; a CSV file has that in a column, too.

    Raises OperatorError if the source cannot be read, is of another kind, or has nothing in it.
    """
    with ExitStack() as left_open:
        try:
            found = _listing(source, names_from, left_open, person_per_folder=person_per_folder)
        except OSError as error:
            raise OperatorError(f"cannot read {error.filename or source}: {error.strerror}") from None
        yield found


def _listing(source: Path, names_from: NamesFrom | None, left_open: ExitStack, *, person_per_folder: bool) -> Listing:
    """Return what is in a source. left_open: closes what its photos are loaded from. Raises OperatorError, OSError."""
    suffix = source.suffix.lower()
    if person_per_folder and names_from == "file":
        raise OperatorError("--person-per-folder takes the names of folders, not --names file")
    arranged = _by_folder if person_per_folder else _as_it_is
    if source.is_dir():
        return arranged(_not_empty(folder.listing(source, names_from or "folder"), source))
    if suffix == ".zip":
        members = left_open.enter_context(archive.opened(source))
        return arranged(_not_empty(archive.listing(members, names_from or "folder"), source))
    if suffix == ".csv":
        if person_per_folder:
            raise OperatorError("--person-per-folder is for folders and ZIP files; a CSV file has a column for it")
        if names_from is not None:
            raise OperatorError("--names is for folders and ZIP files; a CSV file has names in its column `name`")
        return _not_empty(table.listing(source), source)
    if not source.exists():
        raise OperatorError(f"{source} does not exist; give a folder, a .csv or a .zip file")
    raise OperatorError(f"{source} is neither a folder nor a .csv or .zip file")


def _by_folder(found: Listing) -> Listing:
    """Make the photos of each folder one person."""
    photos = (replace(photo, person=photo.path.rpartition("/")[0]) for photo in found.photos)
    return replace(found, photos=tuple(photos))


def _as_it_is(found: Listing) -> Listing:
    return found


def _not_empty(found: Listing, source: Path) -> Listing:
    if not found.photos and not found.failures:
        raise OperatorError(f"{source} has no photos; `facesearch import --help` shows where they are looked for")
    return found
