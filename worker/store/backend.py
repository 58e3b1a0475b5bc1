"""A store that the settings name and that need not be open: what commands ask before, or instead of, opening it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.progress import Say
from worker.models.spaces import Spaces
from worker.store.base import Store


@dataclass(frozen=True)
class Examined:
    """The result of reading a whole collection. ids: person_ids of its faces, 32 hex digits each, joined. problem: the
    first thing that is wrong, "" for nothing.
    """

    faces: int = 0
    ids: str = ""
    problem: str = ""


class SavedCollection(Protocol):
    """A collection in a backup made of snapshots."""

    @property
    def identity(self) -> str: ...

    @property
    def placement(self) -> str: ...


class Snapshots(Protocol):
    """Backup of a store by the snapshots of its server. Methods raise OperatorError."""

    placement: str

    def save(self, folder: Path, say: Say) -> None:
        """Write a snapshot of every collection of facesearch into the folder."""

    def checked(self, folder: Path) -> Sequence[SavedCollection]:
        """Return what the folder holds, once every file is known to be whole."""

    def load(self, folder: Path, overwrite: bool, say: Say, known: Container[str]) -> None:
        """Restore each collection from its snapshot, after all of them were checked. overwrite: also those that have
        points now. known: the collections to load; others are reported and left out.
        """


class Backend(ABC):
    """A configured store.

    durable: whether anything outlives the process. folder: where one process at a time keeps its collections, in the
    data directory; None for a store that is elsewhere. url: of its server; None without one. snapshots: how it is
    backed up by its server; None if its faces are read and written as points.
    """

    durable: bool = True
    folder: Path | None = None
    url: str | None = None
    snapshots: Snapshots | None = None

    @abstractmethod
    def open(self, spaces: Spaces) -> Store:
        """Return the store, open, under the preferred identity. Raises OperatorError if the settings or the machine do
        not allow it. A server need not be up: nothing is sent before the first call.
        """

    def foreign(self, spaces: Spaces, collections: Collection[str] | None) -> dict[str, str] | None:  # noqa: ARG002
        """Return those of the collections, or of all if it is None, that are of no space, with their identities as
        Store.identities has them, also while another process has the store open. Returns None where that cannot be
        known. Raises StoreError, OSError and OperatorError.
        """
        return None

    def examine(self, spaces: Spaces) -> Iterator[tuple[str, Examined]]:  # noqa: ARG002
        """Read all of each collection of one of the spaces in `folder`; without a folder there is none. Raises
        OperatorError while another process has the store open.
        """
        return iter(())
