"""`facesearch doctor`: what is installed, reachable and ready."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, cast

from redis import RedisError

from facesearch import models, valkey
from facesearch.doors import admin_port
from shared.errors import OperatorError
from shared.redis_clients import connect_blocking
from shared.settings import Settings
from worker.models import files

TIMEOUT_S: Final = 2.0

PACKAGES: Final = (
    "aiohttp",
    "celery",
    "redis",
    "opencv-python-headless",
    "onnxruntime",
    "qdrant-client",
    "qdrant-edge-py",
)

DETAIL: Final = 23
"""Characters before the detail of a finding."""

LOW_DISK_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class Finding:
    """needed: whether the service cannot run while this is not well."""

    subject: str
    well: bool
    detail: str
    needed: bool = True


def diagnose(settings: Settings, say: Callable[[str], None]) -> bool:
    """Print a line for each finding. Returns whether all that is needed is well."""
    well = True
    for finding in _findings(settings):
        mark = "ok" if finding.well else "FAIL" if finding.needed else "no"
        say(f"{mark:<5} {finding.subject:<16} {finding.detail}")
        well = well and (finding.well or not finding.needed)
    return well


def _findings(settings: Settings) -> Iterator[Finding]:
    yield Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.machine()}")
    yield from _packages()
    yield from _models(settings)
    if settings.redis_url is None:
        yield _valkey()
    else:
        yield _redis("redis", settings.broker)
        if settings.images_url is not None:
            yield _redis("image store", settings.images)
    if settings.store_kind == "qdrant":
        yield _qdrant(settings)
    if settings.redis_url is None or settings.store_kind == "edge":
        yield from _data(settings.data_dir)
    yield _service(settings)
    yield _admin(settings)


def _packages() -> Iterator[Finding]:
    found, missing = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    yield Finding("packages", not missing, f"missing: {', '.join(missing)}" if missing else ", ".join(found))


def _models(settings: Settings) -> Iterator[Finding]:
    try:
        used = models.in_use(settings)
    except OperatorError as error:
        yield Finding("models", False, str(error))
        return
    for model in used:
        ready = files.is_ready(model, settings.models_dir)
        yield Finding(f"{model.task}", ready, f"{model.name}{'' if ready else ': run `facesearch models pull`'}")


def _valkey() -> Finding:
    """The embedded server starts on this machine at all."""
    try:
        command = [str(valkey.binary()), "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stdout  # noqa: S603 -- the packaged binary
    except (OperatorError, OSError, subprocess.SubprocessError) as error:
        return Finding("valkey", False, str(error))
    return Finding("valkey", True, f"embedded, {' '.join(said.split()[:3])}")


def _redis(subject: str, url: str) -> Finding:
    try:
        with connect_blocking(url, TIMEOUT_S) as redis:
            server = cast("dict[str, str]", redis.info("server"))
    except OperatorError as error:
        return Finding(subject, False, str(error))
    except RedisError as error:
        return Finding(subject, False, f"does not answer ({type(error).__name__}); check its URL in the settings")
    return Finding(subject, True, f"answers, version {server['redis_version']}")


def _qdrant(settings: Settings) -> Finding:
    reached, detail = _get(f"{(settings.qdrant_url or '').rstrip('/')}/readyz")
    return Finding("qdrant", reached, detail)


def _data(folder: Path) -> Iterator[Finding]:
    existing = folder if folder.exists() else next(parent for parent in folder.absolute().parents if parent.exists())
    if not os.access(existing, os.W_OK):
        yield Finding("data directory", False, f"{folder} cannot be written; choose another with --data-dir")
        return
    free = shutil.disk_usage(existing).free
    state = "in use by a running instance" if _locked(folder) else "free to use" if folder.exists() else "will be made"
    yield Finding("data directory", free > LOW_DISK_BYTES, f"{folder}: {state}, {free / 2**30:.1f} GiB of disk left")


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
    """Not needed: one may ask before starting it."""
    address = f"http://{settings.host}:{settings.port}"
    reached, detail = _get(f"{address}/readyz")
    return Finding("service", reached, f"{address} {detail}", needed=False)


def _admin(settings: Settings) -> Finding:
    """Neither: it is there when there is an admin key, which it wants to see before it says anything else."""
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
