"""Webhooks: the deliveries of outcomes of asynchronous jobs to callers' servers, as gateways and operators see them.

    fs:webhook:delivery:<job id>    hash, see below; expires
    fs:webhook:due:<tenant>         sorted set of the job ids to deliver, by the time of the next attempt or, while a
                                    gateway has one, of the end of its lease
    fs:webhook:tenants              sorted set of the tenants with deliveries, by the time of their first next attempt
    fs:webhook:waiting              sorted set of all job ids to deliver, by the time from which they are tried
    fs:webhook:dead:<tenant>        sorted set of the job ids that were given up, by that time
    fs:webhook:dead                 sorted set: how many a tenant has there
    fs:webhook-secrets              hash: tenant -> secret of its signatures (shared/control/webhook_secrets.py)

A delivery has the fields tenant (its id, as everywhere here), url, form (of confidences), outcome (JSON), created (Unix
time from which it is tried), attempts (failed ones), why (the last one failed) and, if it was given up, died (Unix
time).

The script that ends a job makes its delivery (shared/asynchronous/). Any gateway leases deliveries that are due and
settles them; a lease that ends unsettled, as of a killed gateway, is due again.
"""

from typing import Final

from shared import lua

TRIED_S: Final = 86_400
"""Seconds for which a delivery is tried."""

KEEP_DEAD_S: Final = 30 * 86_400
"""Seconds for which a delivery is kept that was given up."""

MOST_WAITING: Final = 2000
"""Deliveries of a tenant that may wait; further ones are given up at once. With outcomes of 50 matches they take 11 MB
of the broker."""

MOST_DEAD: Final = 1000
"""Deliveries of a tenant that are kept after they were given up: the newest."""

DELIVERY: Final = "fs:webhook:delivery:"
WAITING: Final = "fs:webhook:waiting"
DEAD: Final = "fs:webhook:dead"
DUE: Final = "fs:webhook:due:"
DEAD_OF: Final = "fs:webhook:dead:"

DELIVERED: Final = "delivered"
RETRY: Final = "retry"
DEAD_NOW: Final = "dead"


def _script(*names: str) -> str:
    return lua.load(
        __name__,
        "common",
        *names,
        DELIVERY=DELIVERY,
        DUE=DUE,
        TENANTS="fs:webhook:tenants",
        WAITING=WAITING,
        DEAD=DEAD,
        DEAD_OF=DEAD_OF,
        MOST_WAITING=MOST_WAITING,
        MOST_DEAD=MOST_DEAD,
        KEEP_DEAD_S=KEEP_DEAD_S,
        KEEP_S=TRIED_S + KEEP_DEAD_S,
        RETRY=RETRY,
        DEAD_NOW=DEAD_NOW,
    )


COMMON: Final = _script()
"""What stands before a script that has an outcome delivered."""

CLAIM: Final = _script("claim_webhooks")
SETTLE: Final = _script("settle_webhook")
REVIVE: Final = _script("revive_webhooks")


def delivery_key(job_id: str) -> str:
    """Return the key of the delivery of a job's outcome."""
    return DELIVERY + job_id
