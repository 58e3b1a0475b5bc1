"""All settings, read once at start from the environment and passed on.

The description of each field has its effect, its unit and the reason of its default.
"""

import math
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from shared import origins, proxies
from shared.contract import Confidences, HttpStatus, Names
from shared.errors import OperatorError
from shared.host.cores import cores
from shared.host.memory import memory_bytes
from shared.imagefile.header import DEFAULT_MAX_PIXELS
from shared.redis_url import parse
from shared.webhook_hosts import Host
from shared.webhook_hosts import parse as parse_hosts

SECRETS_DIR: Final = Path("/run/secrets")
"""Folder of the secrets of Docker and Kubernetes: a file named like a variable holds its value, unless the environment
does.
"""

LEAST_BODY_MEMORY_MIB: Final = 64
"""Half of it, the share of a key that is alone, must hold the largest body of 17 MB."""

_BOUNDS: Final = ("ge", "le")
"""Attributes with the inclusive bounds of a setting."""


def _checked(url: SecretStr, variable: str) -> str:
    """Return the URL of a Redis. Raises OperatorError, which names the variable, if it is invalid."""
    parse(url.get_secret_value(), variable)
    return url.get_secret_value()


def _home(variable: str, fallback: str) -> Path:
    """Return a folder by the XDG base directory convention."""
    return Path(os.environ.get(variable) or Path.home() / fallback) / "facesearch"


def _valid_for(parse: Callable[[str], object], variable: str) -> AfterValidator:
    """Return a validator of a text that `parse` accepts. Its error names the variable."""

    def validate(text: str) -> str:
        try:
            parse(text)
        except ValueError as error:
            raise ValueError(f"{variable}: {error}") from None
        return text

    return AfterValidator(validate)


class Settings(BaseSettings):
    """The settings of every process. Variables have the prefix FACESEARCH_, except REDIS_URL, QDRANT_URL and
    QDRANT_API_KEY.
    """

    model_config = SettingsConfigDict(env_prefix="FACESEARCH_", env_ignore_empty=True, frozen=True, extra="forbid")

    # Servers, stores and folders
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="Redis or Valkey for the queue, results and control data. Left out: `facesearch up` embeds one.",
    )
    images_url: SecretStr | None = Field(
        default=None,
        description="Redis or Valkey without persistence for images in flight, so that no image reaches a disk. Left "
        "out: that of REDIS_URL, which should then not persist.",
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
    qdrant_grpc: bool = Field(
        default=False,
        description="Use gRPC instead of REST for the Qdrant server. False: REST passes every proxy; gRPC saves up to "
        "half a millisecond of CPU a call.",
    )
    qdrant_grpc_port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=6334, description="gRPC port of the Qdrant server, on the host of QDRANT_URL."
    )
    store: Literal["auto", "edge", "qdrant", "memory"] = Field(
        default="auto",
        description="Where embeddings are stored. auto: qdrant if QDRANT_URL is set, else edge. memory: in the "
        "worker's memory only.",
    )
    data_dir: Path = Field(
        default_factory=lambda: _home("XDG_DATA_HOME", ".local/share"),
        description="Folder for everything that embedded mode keeps: faces, keys, counters.",
    )
    backup_dir: Path | None = Field(
        default=None,
        description="Folder below which a worker with an embedded store writes the faces of a backup, and nowhere "
        "else; `facesearch backup` takes them from there. Left out: `handover` in the data directory.",
    )
    sync: Literal["second", "always"] = Field(
        default="second",
        description="When the disk has what embedded mode acknowledges. second: within a second, which a power cut "
        "may lose; always: before it is acknowledged, which takes 1 ms on an SSD. A killed process loses "
        "nothing either way.",
    )
    broker_memory_mb: Annotated[int, Field(ge=0, le=1_048_576)] = Field(
        default=0,
        description="Memory limit of the broker of embedded mode in MiB; when it is full, calls end in FAIL, and "
        "nothing is removed. 0: an eighth of the memory that the service may use, at least 256.",
    )
    models_dir: Path = Field(
        default_factory=lambda: _home("XDG_CACHE_HOME", ".cache") / "models",
        description="Folder of downloaded and prepared models. May be copied to a machine without network.",
    )

    # A Qdrant server: how collections are created, and how they are searched
    placement: Literal["separate", "shared"] = Field(
        default="separate",
        description="separate: one collection for each facedb, up to about 1,000 on a cluster. shared: all facedbs in "
        "one collection, distinguished by an indexed key, for more than that. A facedb stays where it "
        "was created.",
    )
    qdrant_shards: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="Shards of a new collection. 1: right for one node; on a cluster, the number of nodes."
    )
    qdrant_replicas: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Copies of each shard, each on another node. 1: right for one node; 2 survive the loss of one.",
    )
    qdrant_write_consistency: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Copies that must have a write before it is acknowledged, at most as many as there are. 1: with "
        "several copies, one live node is enough. 2 of 2: nothing is lost with a node, and nothing can be written "
        "while one is away; searches go on.",
    )
    qdrant_on_disk: bool = Field(
        default=False,
        description="Keep full vectors on disk, and only quantised vectors and the graph in memory. False: fastest; "
        "true takes about a third of the memory.",
    )
    qdrant_quantization: Literal["int8", "none"] = Field(
        default="int8",
        description="Vectors by which large collections are searched. int8: quantised to a quarter of the size; the "
        "best candidates are compared again with the full vectors. none: the full vectors only.",
    )
    qdrant_oversampling: Annotated[float, Field(ge=1, le=16)] = Field(
        default=2.0,
        description="Candidates that are compared again with full vectors, as a multiple of the requested number. 2: "
        "recall as without quantisation.",
    )
    qdrant_graph_from: Annotated[int, Field(ge=0)] = Field(
        default=5_000_000,
        description="Faces of a facedb from which it is searched by a graph; existing collections follow. Below, the "
        "int8 copies of all are compared and the best again in full, which misses none and takes about 11 ms of CPU a "
        "million. With FACESEARCH_PLACEMENT=shared: of a facedb in one segment of the server. 5,000,000: 55 ms.",
    )
    qdrant_hnsw_m: Annotated[int, Field(ge=4, le=128)] = Field(
        default=32,
        description="Links of each vector in a graph. 32: twice Qdrant's own default; more: better recall, and larger.",
    )
    qdrant_hnsw_ef_construct: Annotated[int, Field(ge=4, le=4096)] = Field(
        default=256,
        description="Neighbours considered when a graph is built. More: better recall, and slower to build.",
    )
    qdrant_hnsw_ef: Annotated[int, Field(ge=50, le=4096)] = Field(
        default=1024,
        description="Neighbours considered by a search of a graph. 1024: lists 99.97% of what exact search lists at "
        "confidence 80 among 200,000 made-up faces; 512 lists 99.5% in three quarters of the time.",
    )
    exact_below: Annotated[int, Field(ge=0)] = Field(
        default=20_000,
        description="Number of faces up to which a search compares all of a facedb in full. 20,000: where a server "
        "begins to keep int8 copies.",
    )
    store_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=3,
        description="Seconds within which an add, a search or a deletion on the Qdrant server must succeed, retries "
        "included; the visibility timeout less a second if that is shorter. 3: a job that hangs is not "
        "given to a second worker.",
    )

    # Gateway
    host: str = Field(default="127.0.0.1", description="Address to listen on. Loopback: nothing is exposed by default.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(default=8000, description="Port to listen on; 0 takes any.")
    api_key: SecretStr | None = Field(
        default=None,
        min_length=8,
        description="First API key, which the service knows from its start. Left out: one is created and kept in the "
        "data directory.",
    )
    admin_host: str = Field(
        default="127.0.0.1", description="Address of the admin API. Loopback: only this machine has access by default."
    )
    admin_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8001, description="Port of the admin API; 0 takes any."
    )
    admin_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Key of the admin API. Left out: `facesearch up` creates one and keeps it in the data directory; "
        "elsewhere there is no admin API.",
    )
    gateway_processes: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0,
        description="Processes of one gateway, which accept connections on its port together and share its limits. 0: "
        "`facesearch up` starts one for every 8 cores, with cuda for every 4, rounded up, and at most one for each 64 "
        "MiB of FACESEARCH_BODY_MEMORY_MIB; `python -m gateway` runs one. More: each takes up to a core and answers "
        "about 500 requests a second. In Kubernetes add replicas instead.",
    )
    rate: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        default=1000,
        description="Requests a second that an API key may make, unless the key has a rate of its own; 0: no limit. "
        "1000: far above what a correct client reaches, below what a faulty one needs to harm others.",
    )
    concurrency: Annotated[int, Field(ge=0)] = Field(
        default=128,
        description="Requests in progress at once that an API key may have, over all gateways, unless the key has a "
        "limit of its own; 0: no limit. 128: half of a gateway, so that one caller cannot fill it.",
    )
    in_flight: Annotated[int, Field(ge=1)] = Field(
        default=256,
        description="Requests in progress at once that one gateway accepts; beyond that, and earlier when they could "
        "not be answered in time, FAIL at once. 256: what two cores do in half a deadline.",
    )
    connections: Annotated[int, Field(ge=1)] = Field(
        default=4096,
        description="Connections that one gateway holds; fewer if its limit of file descriptors, less 256 for other "
        "uses, is lower. Beyond that idle connections are closed to make room; if there are none, FAIL at "
        "once. 4096: 40 MB if all are idle.",
    )
    connections_per_address: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Connections that one address may have: one of IPv4, or a network of IPv6 (/64). Left out: half "
        "of all, so that one caller cannot take them all.",
    )
    trusted_proxies: Annotated[str, _valid_for(proxies.parse, "FACESEARCH_TRUSTED_PROXIES")] | None = Field(
        default=None,
        description="Addresses and networks, separated by commas, of proxies in front of the gateway, which forward "
        "the requests of many callers: the limit for one address does not apply to them. Left out: none.",
    )
    body_memory_mib: Annotated[int, Field(ge=LEAST_BODY_MEMORY_MIB)] | None = Field(
        default=None,
        description="MiB of bodies and images that the requests of one gateway hold; beyond that, and earlier for a "
        "caller that holds more than its share, FAIL. Left out: a quarter of the memory of its container, "
        "or else of the machine, at least 64; reading a body and forwarding an image take as much again "
        "at worst.",
    )
    deadline_s: Annotated[float, Field(gt=0, le=300)] = Field(
        default=10,
        description="Seconds after which a caller gets FAIL. 10: twice the redelivery time after a killed worker.",
    )
    idempotency_s: Annotated[int, Field(ge=60, le=604_800)] = Field(
        default=86_400,
        description="Seconds for which a repeated request with an Idempotency-Key gets the first outcome. 86,400: a "
        "day. Until then each such request takes 0.3 to 0.6 kB of the broker's memory, and a search up to "
        "5.5 kB.",
    )
    idempotency_records: Annotated[int, Field(ge=100, le=100_000_000)] = Field(
        default=100_000,
        description="Idempotency records that one tenant may have; each new one replaces the oldest. A record counts "
        "once for each 512 bytes of its outcome. 100,000: a request a second for a day; they take 40 MB "
        "of the broker's memory, and 90 MB at worst.",
    )
    async_jobs: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1000,
        description="Asynchronous jobs of one tenant that may wait or run at once; beyond that, FAIL. 1000: what two "
        "cores do in half a minute; each takes 2 kB of the broker's memory.",
    )
    async_images_mib: Annotated[int, Field(ge=8, le=1_048_576)] = Field(
        default=128,
        description="MiB of the images of asynchronous jobs in the image store, of all tenants together; beyond that, "
        "and earlier for a tenant that has more than its share, FAIL. 128: a quarter of the image store of embedded "
        "mode, so that other requests always find room.",
    )
    quality_header: bool = Field(
        default=False,
        description="Tell the caller in the header X-Face-Quality why a face was refused with FACE_DETECT_FAILED. "
        "False: the header is not part of the contract. A request with faces=one gets it in any case when there are "
        "several faces.",
    )
    http_status: HttpStatus = Field(
        default="mapped",
        description="HTTP code of the answers, unless the key has its own preference. mapped: a code for each status, "
        "such as 401, 429 and 503; always-200: 200 for every status, for clients that fail on any other "
        "code. mapped: proxies, load balancers and common clients understand it.",
    )
    confidence: Confidences = Field(
        default="decimals",
        description="Format of confidence and similarity, unless the key has its own preference. decimals: at most 3 "
        "decimals; whole: rounded down to whole numbers, 94.6 to 94. decimals: nothing is lost.",
    )
    names: Names = Field(
        default="strict",
        description="Names that faces may have. strict: at most 128 letters and digits; free: at most 128 printable "
        "characters of any language, stored unchanged. strict: as in the contract.",
    )
    cors_origins: Annotated[str, _valid_for(origins.parse, "FACESEARCH_CORS_ORIGINS")] | None = Field(
        default=None,
        description="Origins of web pages that may call from a browser, scheme://host or scheme://host:port, "
        "separated by commas, or * for all. Left out: none; a page that calls exposes its API key to "
        "everyone who opens it. See docs/install.md.",
    )
    webhook_hosts: Annotated[str, _valid_for(parse_hosts, "FACESEARCH_WEBHOOK_HOSTS")] | None = Field(
        default=None,
        description="Hosts that may be called with outcomes of asynchronous jobs, over https: names such as "
        "hooks.example.com, hooks.example.com:8443 or *.example.com, separated by commas. Left out: none, and no "
        "gateway calls anybody. See docs/webhooks.md.",
    )
    webhook_networks: Annotated[str, _valid_for(proxies.parse, "FACESEARCH_WEBHOOK_NETWORKS")] | None = Field(
        default=None,
        description="Addresses and networks, separated by commas, that these hosts may have although they are not "
        "public. Left out: none, so that no webhook reaches a private network.",
    )
    pages: bool = Field(
        default=True,
        description="Serve pages for browsers: that of the API at /docs, and that of the admin API at /docs on its "
        "port. They ask no other host. False: requests of callers alone.",
    )
    call_log: bool = Field(
        default=False,
        description="Write the call log: an entry for each answered call with its key, facedb, ids and status, in "
        "files that show what was changed in them. False: it has ids of persons, so keep it only for a reason. See "
        "docs/audit.md.",
    )
    call_log_dir: Path | None = Field(
        default=None,
        description="Folder of the call log, on a local disk, since each call waits for its entry. Left out: `calls` "
        "in the data directory.",
    )
    call_log_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Key by which entries of the call log are hashed (HMAC), so that nobody without it can make any. "
        "Left out: without a key (SHA-256); then the heads in the broker alone show whether all was made anew.",
    )
    call_log_days: Annotated[int, Field(ge=2, le=3660)] = Field(
        default=180,
        description="Days after which files of the call log are removed. 180: half a year, as is common for logs of "
        "access to personal data.",
    )
    drain_s: Annotated[float, Field(ge=0, le=300)] = Field(
        default=0,
        description="Seconds after SIGTERM in which a gateway still accepts requests while /readyz answers 503, so "
        "that load balancers stop first. 0: without a load balancer; in Kubernetes 5 to 10.",
    )
    max_pixels: Annotated[int, Field(ge=1)] = Field(
        default=DEFAULT_MAX_PIXELS,
        description="Maximum number of pixels of an image, for gateways and workers alike. 50 million: the largest "
        "common phone photos, 150 MB decoded.",
    )

    # Worker
    device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        description="Device that runs the models. cuda needs the extra `gpu`, and is an error at start if there is no "
        "GPU.",
    )
    worker_threads: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0,
        description="Jobs that a worker does at once. 0: one for each core, and one for every four cores more, which "
        "begin and end while others are in vision processes; with cuda one for each core and two batches more, since "
        "jobs that wait for the GPU need no core.",
    )
    vision_processes: Annotated[int, Field(ge=0, le=256)] | None = Field(
        default=None,
        description="Processes in which a worker decodes images and runs the models; with cuda, one process more runs "
        "them for all. Without: one for each job at once, those of fair queueing too; with fewer, jobs wait for each "
        "other. They can open no file and no connection; one that an image crashes fails that image's job alone. 0: "
        "the worker does it in its own threads, as outside of Linux; not with cuda.",
    )
    decoded_mb: Annotated[int, Field(ge=64, le=1_000_000)] = Field(
        default=512,
        description="Megabytes that the decoded images of a worker may take; further jobs wait. A single image may "
        "take more. 512: a photo of 48 megapixels and some of 12, or a PNG of 50 and one of 20.",
    )
    batch_size: Annotated[int, Field(ge=1, le=64)] = Field(
        default=8,
        description="Images, and faces, in one inference on a GPU. 8: the fixed cost of an inference is shared by 8, "
        "and 8 images of 640 x 640 take 39 MB. With cpu nothing is batched.",
    )
    batch_wait_ms: Annotated[float, Field(ge=0, le=100)] = Field(
        default=2,
        description="Milliseconds for which an idle GPU waits for images that are being prepared, once there is "
        "something to do; it never waits without. 2: about the fixed cost of an inference.",
    )
    visibility_timeout_s: Annotated[int, Field(ge=1)] = Field(
        default=5,
        description="Seconds after which the job of a dead worker is redelivered to another. 5: well above the "
        "slowest job, and half of a deadline.",
    )
    detector: str = Field(default="yunet-2023mar-int8bq", description="Detection model, by its name in the catalogue.")
    embedder: str = Field(
        default="sface-2021dec-int8bq",
        description="Embedding model, by its name in the catalogue or its own (`facesearch models add`).",
    )
    second_embedder: str | None = Field(
        default=None,
        description="Another embedding model that workers load, too, for the facedbs that it filled; new facedbs get "
        "the one of FACESEARCH_EMBEDDER. For a change of the model without an outage, see docs/other-models.md. Left "
        "out: none, and no memory for one.",
    )
    mirror_faces: bool = Field(
        default=False,
        description="Embed each face of new facedbs together with its mirror image. Of the genuine pairs that "
        "confidence 95 refuses, one in eleven is then accepted; a search takes 34 instead of 21 ms of CPU. A facedb "
        "keeps what it began with, and release 0.2 refuses those that began with true. False: the gain is small for "
        "its cost.",
    )
    accept_noncommercial: bool = Field(
        default=False,
        description="Allow models whose licence forbids commercial use. False: no licence is broken by accident.",
    )
    detection_score: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.8,
        description="Minimum score, (0, 1), of a face in the first detection pass over a photo. Each candidate is "
        "then checked upright and enlarged. 0.8: see docs/quality.md.",
    )
    quality_add: Literal["off", "standard", "strict"] = Field(
        default="standard",
        description="Quality that a face needs to be added; the other faces of the image are added without it. "
        "standard: refuses blurred, tiny, black and white faces, which match many people or none; strict: "
        "for portraits that can be taken again; off: every face. See docs/quality.md.",
    )
    quality_search: Literal["off", "standard", "strict"] = Field(
        default="standard",
        description="Quality that the most prominent face needs to be searched for or compared. standard: refuses "
        "faces that would not be found; strict, off: as above.",
    )
    edge_open_collections: Annotated[int, Field(ge=1)] = Field(
        default=64,
        description="Collections that Qdrant Edge keeps open; the least recently used is closed. 64: "
        "0.1 GB of memory, and 2 GB of mapped files that the system may drop.",
    )

    # Metrics, traces and logs
    metrics_host: str = Field(
        default="127.0.0.1", description="Address of /metrics. Loopback: nothing is exposed by default."
    )
    metrics_port: Annotated[int, Field(ge=1, le=65534)] | None = Field(
        default=None,
        description="Port of /metrics for Prometheus, of gateway and worker each. Left out: there are no metrics. "
        "With `facesearch up` the worker has the next port.",
    )
    traces_url: str | None = Field(
        default=None,
        description="Base URL of an OpenTelemetry collector that accepts OTLP over HTTP, such as "
        "http://collector:4318. Needs the extra `otel`. Left out: no traces.",
    )
    traces_sample: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1,
        description="Share of the requests that are traced, 0 to 1. 1: all; lower it if traces cost too much.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Minimum level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="json for machines, console for people; `facesearch up` uses console."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- reads another folder
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources by precedence: arguments, the environment, the files of SECRETS_DIR."""
        sources = [init_settings, env_settings]
        if SECRETS_DIR.is_dir():
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=SECRETS_DIR))
        return tuple(sources)

    @classmethod
    def read(cls, **given: Any) -> "Settings":
        """Return the settings of the environment, overridden by the arguments. Raises OperatorError, which names the
        invalid settings without their values, which may be secret.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            complaints = "; ".join(cls._complaint(str(item["loc"][0]), item["msg"], given) for item in error.errors())
            raise OperatorError(complaints) from None

    @classmethod
    def _complaint(cls, where: str, why: str, given: Mapping[str, Any]) -> str:
        """Return the flaw of a setting, named as the option or the variable that it came from."""
        name = cls.variables().get(where, where)
        field = cls.model_fields.get(name)
        if field is None:
            return f"{where}: {why}"
        title = f"--{name.replace('_', '-')}" if name in given else f"setting {cls._variable(name, field)}"
        limits = {bound: getattr(part, bound) for part in field.metadata for bound in _BOUNDS if hasattr(part, bound)}
        if set(limits) == set(_BOUNDS):
            return f"{title} must be {limits['ge']} to {limits['le']}"
        return f"{title}: {why}"

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Return the fields by the names of their environment variables, in order."""
        return {cls._variable(name, field): name for name, field in cls.model_fields.items()}

    @classmethod
    def _variable(cls, name: str, field: FieldInfo) -> str:
        if isinstance(field.validation_alias, AliasChoices):
            return str(field.validation_alias.choices[0])
        return f"{cls.model_config['env_prefix']}{name}".upper()

    @property
    def broker(self) -> str:
        """The URL of the broker. Raises OperatorError if it is not set or invalid."""
        if self.redis_url is None:
            raise OperatorError("REDIS_URL is not set; give one, or let `facesearch up` start everything")
        return _checked(self.redis_url, "REDIS_URL")

    @property
    def images(self) -> str:
        """The URL of the image store. Raises OperatorError as `broker` does."""
        return _checked(self.images_url, "FACESEARCH_IMAGES_URL") if self.images_url else self.broker

    @property
    def allowed_origins(self) -> frozenset[str]:
        """The parsed cors_origins; empty if there are none."""
        return origins.parse(self.cors_origins) if self.cors_origins is not None else frozenset()

    @property
    def known_proxies(self) -> Sequence[proxies.Network]:
        """The parsed trusted_proxies; empty if there are none."""
        return proxies.parse(self.trusted_proxies) if self.trusted_proxies is not None else ()

    @property
    def allowed_webhook_hosts(self) -> Collection[Host]:
        """The parsed webhook_hosts; empty if there are none."""
        return parse_hosts(self.webhook_hosts) if self.webhook_hosts is not None else ()

    @property
    def allowed_webhook_networks(self) -> Sequence[proxies.Network]:
        """The parsed webhook_networks; empty if there are none."""
        return proxies.parse(self.webhook_networks) if self.webhook_networks is not None else ()

    @property
    def handover(self) -> Path:
        """The absolute folder below which a worker writes the faces of a backup."""
        return (self.backup_dir or self.data_dir / "handover").expanduser().absolute()

    @property
    def call_log_folder(self) -> Path:
        """The absolute folder of the call log."""
        return (self.call_log_dir or self.data_dir / "calls").expanduser().absolute()

    @property
    def body_memory_bytes(self) -> int:
        """The maximum bytes of bodies and images that the requests of one gateway hold."""
        mib = 1 << 20
        if self.body_memory_mib is not None:
            return self.body_memory_mib * mib
        return max(LEAST_BODY_MEMORY_MIB * mib, memory_bytes() // 4)

    @property
    def threads(self) -> int:
        """The number of jobs that a worker does at once."""
        if self.worker_threads:
            return self.worker_threads
        if self.device == "cuda":
            # While every core decodes, a full batch may be running on, or waiting for, each of the two models.
            return cores() + 2 * self.batch_size
        # While some are in vision processes, others begin and end: 78 instead of 75 searches a second on two cores.
        return cores() + (math.ceil(cores() / 4) if self.has_vision_processes else 0)

    @property
    def has_vision_processes(self) -> bool:
        """Whether a worker has vision processes."""
        return sys.platform == "linux" and self.vision_processes != 0

    @property
    def image_ttl_s(self) -> int:
        """Time to live of an image in seconds: the deadline and a margin. Gateways remove images earlier."""
        return int(self.deadline_s) + 5

    @property
    def store_kind(self) -> Literal["edge", "qdrant", "memory"]:
        if self.store != "auto":
            return self.store
        return "qdrant" if self.qdrant_url else "edge"
