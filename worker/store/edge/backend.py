"""The embedded store of a data directory, which may be open in another process."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from shared.settings import Settings
from worker.models.spaces import Spaces
from worker.store.backend import Backend, Examined
from worker.store.edge import files
from worker.store.edge.examine import examine
from worker.store.edge.store import EdgeStore

FOLDER: Final = "faces"
"""Name of the store's folder in the data directory."""


class EdgeBackend(Backend):
    """A Backend in the folder `faces` of the data directory."""

    def __init__(self, settings: Settings) -> None:
        self.folder: Path = settings.data_dir.expanduser() / FOLDER
        self._settings = settings

    def open(self, spaces: Spaces) -> EdgeStore:
        sync = self._settings.sync == "always"
        store = EdgeStore(self.folder, spaces.preferred, self._settings.edge_open_collections, sync=sync)
        for identity in spaces.preprocessings:
            store.under(identity)  # so that it knows of them before it opens a shard
        return store

    def foreign(self, spaces: Spaces, collections: Collection[str] | None) -> dict[str, str] | None:
        if not self.folder.is_dir():
            return None
        names = files.names(self.folder) if collections is None else collections
        return spaces.foreign(files.identities(self.folder, names))

    def examine(self, spaces: Spaces) -> Iterator[tuple[str, Examined]]:
        names = files.names(self.folder)
        foreign = spaces.foreign(files.identities(self.folder, names))
        return examine(self.folder, spaces.preferred, [name for name in names if name not in foreign])
