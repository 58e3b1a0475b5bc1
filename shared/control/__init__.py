"""Control data in Redis: tenants, API keys and face databases.

API keys have at least 128 random bits, so that a plain SHA-256, which takes microseconds, is as hard to invert as the
key is to guess.
"""

from shared.control.callers import Callers
from shared.control.confidences import Confidences
from shared.control.facedbs import Facedbs
from shared.control.keys import Keys
from shared.control.layout import (
    DEFAULT,
    DROP_AFTER_S,
    DROPPED,
    DROPPED_TENANTS,
    FIRST_KEY_FILE,
    WEBHOOK_SECRETS,
)
from shared.control.migrations import Compared, Migration, Migrations
from shared.control.records import (
    LEAST_RATE,
    MOST_DAYS,
    MOST_RATE,
    Caller,
    Confidence,
    Conflict,
    Facedb,
    FoundFacedb,
    Key,
    KeyRecord,
    ListedFacedb,
    Retention,
    Scope,
    Table,
    Tenant,
    Unknown,
)
from shared.control.retentions import Retentions
from shared.control.tenants import Tenants
from shared.control.webhook_secrets import WebhookSecrets

__all__ = [
    "DEFAULT",
    "DROPPED",
    "DROPPED_TENANTS",
    "DROP_AFTER_S",
    "FIRST_KEY_FILE",
    "LEAST_RATE",
    "MOST_DAYS",
    "MOST_RATE",
    "WEBHOOK_SECRETS",
    "Caller",
    "Compared",
    "Confidence",
    "Conflict",
    "Control",
    "Facedb",
    "FoundFacedb",
    "Key",
    "KeyRecord",
    "ListedFacedb",
    "Migration",
    "Retention",
    "Scope",
    "Table",
    "Tenant",
    "Unknown",
]


class Control(Tenants, Keys, Facedbs, Confidences, Retentions, Migrations, WebhookSecrets, Callers):
    """Access to control data.

    Methods raise redis.RedisError if Redis cannot be reached, and OperatorError for invalid arguments: Unknown and
    Conflict where they apply.
    """
