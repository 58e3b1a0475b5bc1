"""Names from where a photo is: its folder, or its file. The same in folders and in ZIP files."""

from pathlib import PurePosixPath
from typing import Literal

from facesearch.bulk.photos import Failure, printable
from shared.contract import Status


def is_hidden(path: PurePosixPath) -> bool:
    """Return whether a path is one that systems write beside photos: below a hidden name (`.DS_Store`, `._1.jpg`), or
    below the folder of resource forks that macOS adds to ZIP files.
    """
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def name_of(path: PurePosixPath, names_from: Literal["folder", "file"]) -> str | Failure:
    """Return the name of the photo at this path, which is relative to its source.

    >>> name_of(PurePosixPath("staff/Ann/1.jpg"), "folder"), name_of(PurePosixPath("staff/Ann.jpg"), "file")
    ('Ann', 'Ann')
    """
    if names_from == "file":
        return path.stem
    if len(path.parts) > 1:
        return path.parts[-2]
    reason = "it is in no folder that names it; --names file takes the names of files"
    return Failure(printable(str(path)), "", Status.INVALID_REQUEST, reason)
