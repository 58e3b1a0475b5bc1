"""Checks of what is installed, reachable and ready for the processes that run here."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, cast

from redis import Redis, RedisError, ResponseError
from redis import TimeoutError as RedisTimeoutError

from facesearch.diagnosis import installed
from facesearch.diagnosis.installed import Role
from facesearch.embedded import servers
from facesearch.embedded.broker import describe_redis_failure
from facesearch.embedded.sockets import admin_port
from shared.broker import RESULT_PREFIX
from shared.errors import OperatorError
from shared.heartbeat import read_heartbeats
from shared.redis_clients import connect_blocking
from shared.settings import Settings
from shared.unknown_variables import unknown_variables
from worker.models import files, selection

TIMEOUT_S: Final = 2.0

PACKAGES: Final[dict[str, frozenset[Role]]] = {
    "aiohttp": frozenset({"gateway", "all"}),
    "celery": frozenset({"gateway", "worker", "all"}),
    "redis": frozenset({"gateway", "worker", "all"}),
    "opencv-python-headless": frozenset({"worker", "all"}),
    "onnxruntime": frozenset({"worker", "all"}),
    "qdrant-client": frozenset({"worker", "all"}),
    "qdrant-edge-py": frozenset({"worker", "all"}),
    "simplejpeg": frozenset({"worker", "all"}),
}
"""The roles that need each package."""

ALTERNATIVES: Final = {"onnxruntime": "onnxruntime-gpu"}
"""Packages that provide the same modules."""

ROLES: Final[dict[Role, str]] = {
    "gateway": "a gateway: it has no models and no store",
    "worker": "a worker: no caller reaches it",
    "all": "gateway and worker",
}

LOW_DISK_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class Finding:
    """The result of one check. needed: whether the service cannot run unless it is well."""

    subject: str
    well: bool
    detail: str
    needed: bool = True


def findings(settings: Settings, given: Role | None) -> Iterator[Finding]:
    """Yield what is found, check by check. given: the role to check for; None for the role of the installation."""
    role = given or installed.role()
    yield Finding("checked", True, f"{ROLES[role]}, {'as asked' if given else 'by what is installed'}")
    yield Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.machine()}")
    yield _packages(role)
    yield from (Finding("variable", False, str(unknown), needed=False) for unknown in unknown_variables())
    if role != "gateway":
        yield from _models(settings)
    if settings.redis_url is None:
        yield _valkey() if role == "all" else _no_redis(role)
    else:
        yield _redis("redis", "REDIS_URL", lambda: settings.broker)
        if settings.images_url is not None:
            yield _redis("image store", "FACESEARCH_IMAGES_URL", lambda: settings.images)
    if role == "gateway":
        if settings.redis_url is not None:
            yield from _gateway_use_of_broker(settings)
    else:
        yield from _store(settings, role)
    if role != "worker":
        yield _service(settings)
        yield _admin(settings)


def _packages(role: Role) -> Finding:
    found, missing = [], []
    for package in (package for package, roles in PACKAGES.items() if role in roles):
        there = next((name for name in (package, ALTERNATIVES.get(package, package)) if _version(name)), None)
        if there is None:
            missing.append(package)
        else:
            found.append(f"{there} {_version(there)}")
    lacks = f"missing: {', '.join(missing)}; install facesearch again"
    return Finding("packages", not missing, lacks if missing else ", ".join(found))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _store(settings: Settings, role: Role) -> Iterator[Finding]:
    # A gateway, which has no store, goes without NumPy.
    from facesearch.diagnosis.refused_facedbs import refused  # noqa: PLC0415 -- see above
    from worker.store.opening import backend  # noqa: PLC0415 -- see above

    store = backend(settings)
    if store.url is not None:
        yield _qdrant(store.url)
    if store.folder is not None or (role == "all" and settings.redis_url is None):
        yield from _data(settings.data_dir)
    why = refused(settings, store)
    if why is not None:
        yield Finding("facedbs", not why, why or "none is refused for the model that made its faces")


def _no_redis(role: Role) -> Finding:
    what = "its queue, results and keys are there" if role == "gateway" else "its jobs come from there"
    return Finding("redis", False, f"REDIS_URL is not set, and a {role} by itself needs it: {what}")


def _gateway_use_of_broker(settings: Settings) -> Iterator[Finding]:
    """Check what a gateway does with the broker besides looking up keys."""
    try:
        with connect_blocking(settings.broker, TIMEOUT_S) as redis:
            yield _checked("results", "a gateway can subscribe to them", lambda: _subscribe(redis))
            yield _checked("limits", _limits(settings), lambda: redis.eval("return 1", 0))
            yield _workers(redis)
    except OperatorError:
        return  # the URL is wrong, as another finding reports


def _checked(subject: str, detail: str, check: Callable[[], object]) -> Finding:
    """Return a finding that is well if the check raises no RedisError."""
    try:
        check()
    except ResponseError as error:
        return Finding(subject, False, f"the Redis of REDIS_URL refuses it ({error}); allow it to the user of its URL")
    except RedisError as error:
        return Finding(subject, False, f"the Redis of REDIS_URL does not answer ({type(error).__name__})")
    return Finding(subject, True, detail)


def _subscribe(redis: Redis) -> None:
    """Raises RedisError."""
    with closing(redis.pubsub()) as pubsub:  # type: ignore[no-untyped-call]
        pubsub.psubscribe(f"{RESULT_PREFIX}doctor.*")
        if pubsub.get_message(timeout=TIMEOUT_S) is None:
            raise RedisTimeoutError("no answer to a subscription")


def _workers(redis: Redis) -> Finding:
    """Count the workers; none is needed, since a gateway may be started first."""
    try:
        alive = sum(record is not None for record in read_heartbeats(redis).values())
    except RedisError as error:
        return Finding("worker", False, f"unknown ({type(error).__name__})", needed=False)
    detail = f"{alive} alive" if alive else "none is alive: requests end in FAIL until one is"
    return Finding("worker", alive > 0, detail, needed=False)


def _limits(settings: Settings) -> str:
    """Return the default limits of a key, and that of this gateway, as a text."""
    rate = f"{settings.rate:g} requests a second" if settings.rate else "any number of requests a second"
    concurrency = f"{settings.concurrency} at once" if settings.concurrency else "any number at once"
    return f"{rate} and {concurrency} for each key, {settings.in_flight} at once for this gateway"


def _models(settings: Settings) -> Iterator[Finding]:
    try:
        used = selection.all_in_use(settings)
    except OperatorError as error:
        yield Finding("models", False, str(error))
        return
    for model in used:
        try:
            files.prepared_path(model, settings.models_dir)
        except OperatorError as error:
            yield Finding(model.task, False, str(error))
        else:
            yield Finding(model.task, True, model.name)


def _valkey() -> Finding:
    """Check that the embedded Valkey server runs on this machine."""
    try:
        command = [str(servers.binary()), "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stdout  # noqa: S603 -- the packaged binary
    except (OperatorError, OSError, subprocess.SubprocessError) as error:
        return Finding("valkey", False, str(error))
    return Finding("valkey", True, f"embedded, {' '.join(said.split()[:3])}")


def _redis(subject: str, variable: str, url: Callable[[], str]) -> Finding:
    try:
        with connect_blocking(url(), TIMEOUT_S) as redis:
            server = cast("dict[str, str]", redis.info("server"))
    except OperatorError as error:
        return Finding(subject, False, str(error))
    except RedisError as error:
        return Finding(subject, False, describe_redis_failure(url(), variable, error))
    return Finding(subject, True, f"answers, version {server['redis_version']}")


def _qdrant(url: str) -> Finding:
    reached, detail = _get(f"{url.rstrip('/')}/readyz")
    return Finding("qdrant", reached, detail if reached else f"{detail}; start it, or correct QDRANT_URL")


def _data(folder: Path) -> Iterator[Finding]:
    existing = folder if folder.exists() else next(parent for parent in folder.absolute().parents if parent.exists())
    if not os.access(existing, os.W_OK):
        yield Finding("data directory", False, f"{folder} cannot be written; choose another with --data-dir")
        return
    free = shutil.disk_usage(existing).free
    state = "in use by a running instance" if _locked(folder) else "free to use" if folder.exists() else "will be made"
    advice = "" if free > LOW_DISK_BYTES else "; make room: with less than 128 MiB nothing is added"
    left = f"{folder}: {state}, {free / 2**30:.1f} GiB of disk left{advice}"
    yield Finding("data directory", free > LOW_DISK_BYTES, left)


def _locked(folder: Path) -> bool:
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _service(settings: Settings) -> Finding:
    """Check the gateway; not needed, since the service may not have been started yet."""
    address = f"http://{settings.host}:{settings.port}"
    reached, detail = _get(f"{address}/readyz?verbose=1")
    return Finding("service", reached, f"{address} {detail}", needed=False)


def _admin(settings: Settings) -> Finding:
    """Check the admin API; not needed, since it exists only with an admin key. Without a key it answers 401."""
    address = f"http://{settings.admin_host}:{admin_port(settings)}"
    reached, detail = _get(f"{address}/admin/v1/tenants")
    guarded = detail.startswith("answers 401")
    return Finding("admin API", reached or guarded, f"{address} {'is there' if guarded else detail}", needed=False)


def _get(url: str) -> tuple[bool, str]:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310 -- URLs of the settings
            return response.status == 200, "is ready"
    except urllib.error.HTTPError as error:
        return False, f"answers {error.code}: {error.read(500).decode(errors='replace')}"
    except (OSError, ValueError) as error:
        return False, f"does not answer ({getattr(error, 'reason', error)})"
