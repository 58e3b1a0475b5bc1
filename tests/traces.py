"""What a face leaves in files."""

from pathlib import Path

from shared.settings import Settings
from worker.models import catalog
from worker.runtime import open_faces


def vector(image: bytes) -> bytes:
    """Return the vector of the image's only face as it is stored: float32, little-endian."""
    settings = Settings()
    embedder = catalog.find(settings.embedder, "embedding")
    found = open_faces(settings, embedder).embed_most_prominent(image).vector
    return found.astype("<f4").tobytes()


def trace(of: bytes) -> bytes:
    """Return 64 bytes that no other vector has."""
    return of[128:192]


def files_with(folder: Path, *wanted: bytes) -> dict[bytes, set[str]]:
    """Return the files below the folder that contain each of these byte strings, except those of the image store, which
    writes none.
    """
    longest = max(map(len, wanted))
    found: dict[bytes, set[str]] = {some: set() for some in wanted}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            held = path.read_bytes()
            held = held[: len(held.rstrip(b"\0")) + longest]  # most of a new segment is empty
            for some in wanted:
                if some in held:
                    found[some].add(path.relative_to(folder).as_posix())
    return found
