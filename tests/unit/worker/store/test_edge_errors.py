"""Errors of the engine and the disk become errors of the store."""

import errno
from pathlib import Path

import pytest

from worker.store.base import IdentityMismatch, StoreError, StoreUnavailable
from worker.store.edge.errors import as_store_errors

FOLDER = Path("/data/faces/db")


class PanicException(BaseException):
    """Has the name of the engine's own exception, which cannot be imported."""


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (Exception("Service runtime error: Shard is not initialized"), StoreError),
        (Exception("IO Error: No space left on device (os error 28)"), StoreUnavailable),
        (PanicException("index out of bounds"), StoreError),
        (OSError(errno.ENOSPC, "No space left on device"), StoreUnavailable),
        (OSError(errno.EROFS, "Read-only file system"), StoreUnavailable),
        (PermissionError(errno.EACCES, "Permission denied"), StoreError),
    ],
)
def test_an_error_becomes_a_store_error_that_names_the_folder(raised: BaseException, kind: type[StoreError]) -> None:
    with pytest.raises(StoreError, match=str(FOLDER)) as seen, as_store_errors(FOLDER):
        raise raised
    assert type(seen.value) is kind
    assert len(str(seen.value)) < 300


def test_store_errors_and_interrupts_are_unchanged() -> None:
    for ours in (IdentityMismatch("as it was"), KeyboardInterrupt(), SystemExit()):
        with pytest.raises(type(ours)) as seen, as_store_errors(FOLDER):
            raise ours
        assert seen.value is ours
