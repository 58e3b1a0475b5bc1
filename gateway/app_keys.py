"""Keys under which the gateway's application holds what its handlers use.

gateway.http has two more, which it reads itself: TIMEOUTS and STOP.
"""

from typing import Final

from aiohttp import web
from redis.asyncio import Redis

from gateway.access.admission import Admission
from gateway.access.authentication import Auth
from gateway.access.limits import Limits
from gateway.body.memory import BodyMemory
from gateway.call_log.log import CallLog
from gateway.dispatch.asynchronous import AsynchronousJobs
from gateway.dispatch.idempotency import IdempotencyRecords
from gateway.dispatch.jobs import Jobs
from gateway.dispatch.results import Results
from gateway.metrics import Metrics
from shared.settings import Settings

SETTINGS: Final = web.AppKey("settings", Settings)
METRICS: Final = web.AppKey("metrics", Metrics)
REDIS: Final = web.AppKey("redis", Redis)
IMAGE_STORE: Final = web.AppKey("image_store", Redis)
AUTH: Final = web.AppKey("auth", Auth)
ADMISSION: Final = web.AppKey("admission", Admission)
LIMITS: Final = web.AppKey("limits", Limits)
BODY_MEMORY: Final = web.AppKey("body_memory", BodyMemory)
JOBS: Final = web.AppKey("jobs", Jobs)
ASYNCHRONOUS: Final = web.AppKey("asynchronous", AsynchronousJobs)
IDEMPOTENCY: Final = web.AppKey("idempotency", IdempotencyRecords)
RESULTS: Final = web.AppKey("results", Results)
CALL_LOG: Final = web.AppKey("call_log", CallLog)
"""Only where the call log is on."""
