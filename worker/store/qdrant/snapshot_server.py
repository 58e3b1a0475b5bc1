"""The calls of a Qdrant server that make and load snapshots. They exist over REST only."""

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self
from urllib.parse import quote

import httpx

from shared.errors import OperatorError
from shared.settings import Settings
from worker.store.base import StoreUnavailable
from worker.store.qdrant.collections import METADATA_KEYS, Placement
from worker.store.qdrant.connection import connect
from worker.store.qdrant.errors import Missing, refusal
from worker.store.qdrant.retries import Retries

SNAPSHOT_TIMEOUT_S: Final = 3600.0
"""Time limit of making, downloading or uploading one snapshot: an hour moves some 100 GB."""

_CHUNK: Final = 2**20


class SnapshotServer:
    """The server during one backup or restore. Calls that take long are not repeated."""

    def __init__(self, settings: Settings) -> None:
        self._retries = Retries(settings.store_timeout_s)
        self._client = connect(settings.model_copy(update={"qdrant_grpc": False}), self._retries)
        key = settings.qdrant_api_key
        self._http = httpx.Client(
            base_url=self._client.rest_uri,
            headers={"api-key": key.get_secret_value()} if key else None,
            timeout=httpx.Timeout(SNAPSHOT_TIMEOUT_S, connect=settings.store_timeout_s),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()
        self._client.close()

    def require_one_node(self) -> None:
        status = self._ask("GET", "/cluster")
        nodes = len(status.get("peers", {})) or 1
        if nodes > 1:
            raise OperatorError(
                f"this Qdrant has {nodes} nodes, and a snapshot holds the part of one; back up each node's volume, or "
                "its snapshots, with the cluster's own tools"
            )

    def require_free(self, name: str, overwrite: bool) -> None:
        try:
            points = self.count(name)
        except Missing:
            return
        if self.identity(name) is None:
            raise OperatorError(f"{name} was not made by facesearch: nothing was loaded")
        if points and not overwrite:
            raise OperatorError(
                f"{name} has {points} faces: nothing was loaded; --overwrite replaces them by those saved"
            )

    def names(self) -> list[str]:
        return sorted(found.name for found in self._retries.call(self._client.get_collections).collections)

    def count(self, name: str) -> int:
        return self._retries.call(lambda: self._client.count(name, exact=True).count)

    def identity(self, name: str) -> tuple[Placement, str] | None:
        """Return placement and identity; None if facesearch did not make the collection."""
        metadata = self._retries.call(lambda: self._client.get_collection(name)).config.metadata or {}
        for placement, key in METADATA_KEYS.items():
            if isinstance(identity := metadata.get(key), str):
                return placement, identity
        return None

    def create(self, name: str) -> dict[str, Any]:
        """Make a snapshot and return the server's description of it."""
        made: dict[str, Any] = self._ask("POST", f"{_path(name)}?wait=true")
        return made

    def remove(self, name: str, snapshot: str) -> None:
        self._ask("DELETE", f"{_path(name)}/{quote(snapshot)}?wait=true")

    def download(self, name: str, snapshot: str, file: BinaryIO) -> str:
        """Write the snapshot to the file and return its SHA-256."""
        digest = hashlib.sha256()
        try:
            with self._http.stream("GET", f"{_path(name)}/{quote(snapshot)}") as response:
                if response.status_code != httpx.codes.OK:
                    raise refusal(response.status_code, response.read())
                for chunk in response.iter_bytes(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"Qdrant does not answer: {type(error).__name__}") from None
        return digest.hexdigest()

    def upload(self, name: str, path: Path, sha256: str) -> None:
        query = f"wait=true&priority=snapshot&checksum={sha256}"
        with path.open("rb") as file:
            self._ask("POST", f"{_path(name)}/upload?{query}", files={"snapshot": file})

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        """Return the result. Raises StoreUnavailable, or the `refusal` of the answer."""
        try:
            response = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"Qdrant does not answer: {type(error).__name__}") from None
        if response.status_code != httpx.codes.OK:
            raise refusal(response.status_code, response.content)
        return response.json()["result"]


def _path(name: str) -> str:
    return f"/collections/{quote(name, safe='')}/snapshots"
