"""The embedded store of a data directory, which may be open in another process."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from shared.settings import Settings
from worker.models.identity import Identity
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

    def open(self, identity: Identity) -> EdgeStore:
        sync = self._settings.sync == "always"
        return EdgeStore(self.folder, identity, self._settings.edge_open_collections, sync=sync)

    def foreign(self, identity: Identity, collections: Collection[str] | None) -> dict[str, str] | None:
        if not self.folder.is_dir():
            return None
        return files.foreign(
            self.folder, files.names(self.folder) if collections is None else collections, str(identity)
        )

    def examine(self, identity: Identity) -> Iterator[tuple[str, Examined]]:
        names = files.names(self.folder)
        foreign = files.foreign(self.folder, names, str(identity))
        return examine(self.folder, identity, [name for name in names if name not in foreign])
