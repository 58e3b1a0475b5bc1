"""Who asks, and which face database is meant."""

import time
from typing import Final, Generic, TypeVar

from redis import RedisError

from gateway.http.headers import API_KEY
from shared.control import Caller, Control, Facedb, Key, Scope
from shared.errors import FacedbUnknown, Forbidden, Unauthorized, Unavailable

CACHE_S: Final = 3.0
"""How long a looked-up key or facedb is trusted: a revoked key works this much longer at most."""

CACHE_ENTRIES: Final = 10_000

MAX_KEY_LENGTH: Final = 256

UNAUTHORIZED: Final = f"{API_KEY} header is missing, or its key is unknown or has expired"

T = TypeVar("T")


def forbidden(scope: Scope) -> str:
    """What the caller is told whose key has no such scope."""
    return f"this key may not {scope}"


def require(scope: Scope, key: Key) -> None:
    """Raises Forbidden when the key has no such scope."""
    if scope not in key.scopes:
        raise Forbidden(forbidden(scope))


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
        self._keys: _Cache[Caller] = _Cache()
        self._facedbs: _Cache[Facedb] = _Cache()

    async def key(self, secret: str | None) -> Caller:
        """The caller's key. Raises Unauthorized without a known key that has not expired, and Unavailable when the key
        cannot be looked up.
        """
        key = await self._known(secret)
        if key is None or key.expired():
            raise Unauthorized(UNAUTHORIZED)
        return key

    async def collection(self, key: Caller, facedb: str | None) -> str:
        """The store's collection of a facedb of this caller; None means the tenant's default.

        Raises FacedbUnknown when the caller has none of that name (whoever else may), Unavailable when it cannot be
        looked up.
        """
        # No facedb is called "", so the default has an entry of its own.
        entry = f"{key.tenant_id}:{facedb or ''}"
        found = self._facedbs.get(entry)
        if found is None:
            try:
                found = await self._control.facedb_of(key, facedb)
            except RedisError as error:
                raise Unavailable(f"facedb lookup: {type(error).__name__}") from error
            if found is None:
                raise FacedbUnknown("facedb does not exist")
            self._facedbs.put(entry, found)
        return found.collection

    async def _known(self, secret: str | None) -> Caller | None:
        if not secret or len(secret) > MAX_KEY_LENGTH:
            return None
        key = self._keys.get(secret)
        if key is None:
            try:
                key = await self._control.caller(secret)
            except RedisError as error:
                raise Unavailable(f"key lookup: {type(error).__name__}") from error
            if key is not None:
                self._keys.put(secret, key)
        return key
