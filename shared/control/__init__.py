"""Control data in Redis: who may do what, and where it goes.

Keys have 128 bits and more, so a plain SHA-256 is as hard to invert as the key is to guess, and costs microseconds.
"""

from shared.control.callers import Callers
from shared.control.facedbs import Facedbs
from shared.control.keys import Keys
from shared.control.layout import DEFAULT, DROP_AFTER_S, DROPPED, DROPPED_TENANTS, FIRST_KEY_FILE
from shared.control.records import (
    LEAST_RATE,
    MOST_RATE,
    Caller,
    Conflict,
    Facedb,
    Key,
    KeyRecord,
    Scope,
    Tenant,
    Unknown,
)
from shared.control.tenants import Tenants

__all__ = [
    "DEFAULT",
    "DROPPED",
    "DROPPED_TENANTS",
    "DROP_AFTER_S",
    "FIRST_KEY_FILE",
    "LEAST_RATE",
    "MOST_RATE",
    "Caller",
    "Conflict",
    "Control",
    "Facedb",
    "Key",
    "KeyRecord",
    "Scope",
    "Tenant",
    "Unknown",
]


class Control(Tenants, Keys, Facedbs, Callers):
    """Reads and writes control data. Methods raise redis.RedisError when Redis cannot be reached, and OperatorError,
    with a sentence for the operator, when what they are asked for makes no sense: Unknown or Conflict where it is that.
    """
