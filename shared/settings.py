"""All settings, read once at start from the environment (or a dict in tests) and passed on.

Every field says what it does, its unit and why that default.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _home(variable: str, fallback: str) -> Path:
    """A folder by the XDG base directory convention."""
    return Path(os.environ.get(variable) or Path.home() / fallback) / "facesearch"


def _cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """Settings of every process. Environment names carry the prefix FACESEARCH_, but for REDIS_URL and QDRANT_*."""

    model_config = SettingsConfigDict(env_prefix="FACESEARCH_", env_ignore_empty=True, frozen=True, extra="forbid")

    # Where things are
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="Redis or Valkey for the queue, results and control data. Left out: `facesearch up` embeds one.",
    )
    images_url: SecretStr | None = Field(
        default=None,
        description="Redis or Valkey without persistence for images in flight, so that no image reaches a disk. "
        "Left out: the one of REDIS_URL, which should then not persist.",
    )
    qdrant_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("QDRANT_URL", "qdrant_url"),
        description="Qdrant server or cluster. Left out: the engine runs inside the worker (Qdrant Edge).",
    )
    qdrant_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("QDRANT_API_KEY", "qdrant_api_key"),
        description="API key of the Qdrant server.",
    )
    store: Literal["auto", "edge", "qdrant", "memory"] = Field(
        default="auto",
        description="Where embeddings live. auto: qdrant if QDRANT_URL is given, else edge. memory forgets on exit.",
    )
    data_dir: Path = Field(
        default_factory=lambda: _home("XDG_DATA_HOME", ".local/share"),
        description="Folder of everything that embedded mode keeps: faces, keys, counters.",
    )
    models_dir: Path = Field(
        default_factory=lambda: _home("XDG_CACHE_HOME", ".cache") / "models",
        description="Folder of fetched and prepared models. May be copied to a machine without network.",
    )

    # Gateway
    host: str = Field(default="127.0.0.1", description="Address to listen on. Loopback: nothing is exposed unasked.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(default=8000, description="Port to listen on; 0 takes any.")
    api_key: SecretStr | None = Field(
        default=None,
        min_length=8,
        description="First API key, made known to the service at start. Left out: one is made and kept in the data "
        "directory.",
    )
    admin_host: str = Field(
        default="127.0.0.1", description="Address of the admin API. Loopback: it is for this machine unless you say so."
    )
    admin_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8001, description="Port of the admin API; 0 takes any."
    )
    admin_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Key of the admin API. Left out: `facesearch up` makes one and keeps it in the data directory; "
        "elsewhere there is no admin API.",
    )
    rate: Annotated[float, Field(ge=0)] = Field(
        default=1000,
        description="Requests a second that one API key may make, unless the key has a rate of its own; 0: any. 1000: "
        "far above what a loop of one's own reaches, below what a broken one does to the others.",
    )
    concurrency: Annotated[int, Field(ge=0)] = Field(
        default=128,
        description="Requests at once that one API key may have, over all gateways, unless the key has a limit of its "
        "own; 0: any. 128: half of a gateway, so that one caller cannot fill it.",
    )
    in_flight: Annotated[int, Field(ge=1)] = Field(
        default=256,
        description="Requests at once that one gateway accepts; beyond it FAIL at once. 256: what two cores do in "
        "half a deadline.",
    )
    deadline_s: Annotated[float, Field(gt=0, le=300)] = Field(
        default=10,
        description="Seconds a caller waits at most before FAIL. 10: twice the redelivery time after a killed worker.",
    )
    dispatch_threads: Annotated[int, Field(ge=1, le=64)] = Field(
        default=4,
        description="Threads that hand jobs to the broker. 4: each holds one connection, a dispatch takes about 1 ms.",
    )
    max_pixels: Annotated[int, Field(ge=1)] = Field(
        default=50_000_000,
        description="Most pixels an image may claim. 50 million: the largest common phone photos, 150 MB decoded.",
    )

    # Worker
    worker_threads: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0,
        description="Jobs a worker does at once. 0: one per core, more gain nothing (decode and inference release "
        "the interpreter lock).",
    )
    visibility_timeout_s: Annotated[int, Field(ge=1)] = Field(
        default=5,
        description="Seconds after which the job of a dead worker is given to another. 5: well above the slowest "
        "job, and half of a caller's wait.",
    )
    detector: str = Field(default="yunet-2023mar-int8bq", description="Detection model, a name of the catalogue.")
    embedder: str = Field(default="sface-2021dec-int8bq", description="Embedding model, a name of the catalogue.")
    accept_noncommercial: bool = Field(
        default=False,
        description="Allow models whose licence forbids commercial use. False: nobody slips into a breach.",
    )
    detection_score: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.8,
        description="Least detection score, (0, 1), of what counts as a face.",
    )
    edge_open_collections: Annotated[int, Field(ge=1)] = Field(
        default=64,
        description="Collections that Qdrant Edge keeps open; the least recently used is closed. 64: "
        "0.1 GB of memory, and 2 GB of mapped files that the system may drop.",
    )

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="json for machines; console for people, as `facesearch up` does."
    )

    @property
    def broker(self) -> str:
        """URL of the broker. Raises ValueError when neither given nor embedded."""
        if self.redis_url is None:
            raise ValueError("REDIS_URL is not set; give one, or let `facesearch up` start everything")
        return self.redis_url.get_secret_value()

    @property
    def images(self) -> str:
        """URL of the image store."""
        return self.images_url.get_secret_value() if self.images_url else self.broker

    @property
    def threads(self) -> int:
        """Jobs a worker does at once."""
        return self.worker_threads or _cores()

    @property
    def image_ttl_s(self) -> int:
        """Seconds an image outlives its job's deadline at most, plus the deadline: a backstop, see docs."""
        return int(self.deadline_s) + 5

    @property
    def store_kind(self) -> Literal["edge", "qdrant", "memory"]:
        if self.store != "auto":
            return self.store
        return "qdrant" if self.qdrant_url else "edge"
