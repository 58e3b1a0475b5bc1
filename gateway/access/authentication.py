"""Authentication: looks up the key of a request, and one or all of the facedbs of its tenant."""

import time
from collections.abc import Callable
from typing import Final

from cachetools import TTLCache
from redis import RedisError

from gateway.http.headers import API_KEY
from shared.control import Caller, Control, FoundFacedb, Key, Scope
from shared.errors import FacedbUnknown, Forbidden, Unauthorized, Unavailable
from shared.jobs import FacedbToCount

CACHE_S: Final = 3.0
"""Seconds for which a key or facedb that was found is cached: a revoked key works this much longer at most."""

CACHE_ENTRIES: Final = 10_000

MAX_KEY_LENGTH: Final = 256

UNAUTHORIZED: Final = f"{API_KEY} header is missing, or its key is unknown or has expired"


def forbidden(scope: Scope) -> str:
    """Return the message for a key without that scope."""
    return f"this key may not {scope}"


def require(scope: Scope, key: Key) -> None:
    """Raise Forbidden if the key does not have that scope."""
    if scope not in key.scopes:
        raise Forbidden(forbidden(scope))


class Auth:
    """Looks up keys and facedbs in the control data, through a cache. Only keys and facedbs that exist are cached, so
    callers without a key cannot fill it. clock: seconds.
    """

    def __init__(self, control: Control, clock: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._keys: TTLCache[str, Caller] = TTLCache(CACHE_ENTRIES, CACHE_S, clock)
        self._facedbs: TTLCache[str, FoundFacedb] = TTLCache(CACHE_ENTRIES, CACHE_S, clock)

    async def key(self, secret: str | None) -> Caller:
        """Return the key with that secret. Raises Unauthorized if it is unknown or has expired, Unavailable when it
        cannot be looked up.
        """
        key = await self._find_key(secret)
        if key is None or key.expired():
            raise Unauthorized(UNAUTHORIZED)
        return key

    async def facedb(self, key: Caller, facedb: str | None) -> FoundFacedb:
        """Return a facedb of the key's tenant; None means the tenant's default.

        Raises FacedbUnknown when that tenant has none of that name (even if another has), Unavailable when it cannot be
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
            self._facedbs[entry] = found
        return found

    async def facedbs(self, key: Caller) -> list[FacedbToCount]:
        """Return the facedbs of the key's tenant, ordered by name. Raises Unauthorized if the tenant was dropped since
        the key was looked up, Unavailable when they cannot be looked up.
        """
        try:
            found = await self._control.facedbs_of(key)
        except RedisError as error:
            raise Unavailable(f"facedbs lookup: {type(error).__name__}") from error
        if found is None:
            raise Unauthorized(UNAUTHORIZED)
        default, facedbs = found
        return [
            FacedbToCount(name=facedb.name, default=facedb.name == default, collection=facedb.collection)
            for facedb in facedbs
        ]

    async def _find_key(self, secret: str | None) -> Caller | None:
        if not secret or len(secret) > MAX_KEY_LENGTH:
            return None
        key = self._keys.get(secret)
        if key is None:
            try:
                key = await self._control.caller(secret)
            except RedisError as error:
                raise Unavailable(f"key lookup: {type(error).__name__}") from error
            if key is not None:
                self._keys[secret] = key
        return key
