"""The secret of this installation by which workers sign the cursors of lists, made on first use.

It is not part of backups: in a restored service callers begin their lists again.
"""

import secrets
from typing import Final, cast

from redis import Redis

_KEY: Final = "fs:cursor-secret"


def cursor_secret(redis: Redis) -> bytes:
    """Return the secret, 64 hexadecimal digits. Raises redis.RedisError."""
    kept = redis.get(_KEY)
    if kept is None:
        redis.set(_KEY, secrets.token_hex(32), nx=True)  # another worker may make one at the same time
        kept = redis.get(_KEY)
    return cast("bytes", kept)
