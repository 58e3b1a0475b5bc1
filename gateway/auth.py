"""Who asks, and which face database is meant."""

import time
from typing import Final, Generic, TypeVar

from redis import RedisError

from shared.control import Access, Control, Facedb
from shared.errors import InvalidRequest, Unauthorized, Unavailable

HEADER: Final = "X-API-Key"

CACHE_S: Final = 3.0
"""How long a looked-up key or facedb is trusted: a revoked key works this much longer at most."""

CACHE_ENTRIES: Final = 10_000

MAX_KEY_LENGTH: Final = 256

T = TypeVar("T")


class _Cache(Generic[T]):
    """What was found lately. Only hits are kept, so strangers cannot fill it."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, T]] = {}

    def get(self, key: str) -> T | None:
        expires, value = self._entries.get(key, (0.0, None))
        return value if expires > time.monotonic() else None

    def put(self, key: str, value: T) -> None:
        if len(self._entries) >= CACHE_ENTRIES:
            self._entries.clear()
        self._entries[key] = (time.monotonic() + CACHE_S, value)


class Auth:
    """Looks keys and facedbs up in the control data, through a cache of seconds."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._keys: _Cache[Access] = _Cache()
        self._facedbs: _Cache[Facedb] = _Cache()

    async def access(self, key: str | None) -> Access:
        """What the key opens. Raises Unauthorized without a known key, Unavailable when it cannot be looked up."""
        if not key or len(key) > MAX_KEY_LENGTH:
            raise Unauthorized(f"{HEADER} header is missing or its key is unknown")
        access = self._keys.get(key)
        if access is None:
            try:
                access = await self._control.access(key)
            except RedisError as error:
                raise Unavailable(f"key lookup: {type(error).__name__}") from error
            if access is None:
                raise Unauthorized(f"{HEADER} header is missing or its key is unknown")
            self._keys.put(key, access)
        return access

    async def collection(self, access: Access, facedb: str | None) -> str:
        """The store's collection of a facedb of this caller, by default the key's own.

        Raises InvalidRequest when the caller has none of that name (whoever else may), Unavailable when it cannot be
        looked up.
        """
        name = access.facedb if facedb is None else facedb
        entry = f"{access.tenant}:{name}"
        found = self._facedbs.get(entry)
        if found is None:
            try:
                found = await self._control.facedb(access.tenant, name)
            except RedisError as error:
                raise Unavailable(f"facedb lookup: {type(error).__name__}") from error
            if found is None:
                raise InvalidRequest("facedb does not exist")
            self._facedbs.put(entry, found)
        return found.collection
