"""Errors of Qdrant Edge and of the disk, as StoreErrors."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.store.base import StoreError, StoreUnavailable

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_DISK_TEXTS = ("No space left", "quota exceeded", "Read-only file system")


@contextmanager
def as_store_errors(folder: Path) -> Iterator[None]:
    """Raise StoreUnavailable for a full or read-only disk and StoreError for other errors, naming the folder."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        kind = StoreUnavailable if error.errno in _DISK else StoreError
        raise kind(f"{folder}: {error.strerror}") from error
    except BaseException as error:
        # The engine raises plain Exception, and PanicException (a BaseException) when its Rust code panics.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        kind = StoreUnavailable if any(text in str(error) for text in _DISK_TEXTS) else StoreError
        raise kind(f"{folder}: the engine says: {str(error)[:200]}") from error
