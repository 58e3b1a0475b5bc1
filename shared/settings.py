"""All settings, read once at start from the environment (or a dict in tests) and passed on.

Every field says what it does, its unit and why that default.
"""

import os
from collections.abc import Mapping, Sequence
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

SECRETS_DIR: Final = Path("/run/secrets")
"""Where Docker and Kubernetes put secrets: a file named like the variable holds its value. The environment wins."""


LEAST_BODY_MEMORY_MIB: Final = 64
"""The largest body, 17 MB, must fit into the half of it that a key may have that is alone."""

_ENDS: Final = ("ge", "le")
"""What a setting's limits are called where both belong to it."""


def _checked(url: SecretStr, variable: str) -> str:
    """A URL of a Redis. Raises OperatorError, which names the variable, when it is none."""
    parse(url.get_secret_value(), variable)
    return url.get_secret_value()


def _home(variable: str, fallback: str) -> Path:
    """A folder by the XDG base directory convention."""
    return Path(os.environ.get(variable) or Path.home() / fallback) / "facesearch"


def _checked_origins(text: str) -> str:
    try:
        origins.parse(text)
    except ValueError as error:
        raise ValueError(f"FACESEARCH_CORS_ORIGINS: {error}") from None
    return text


def _checked_proxies(text: str) -> str:
    try:
        proxies.parse(text)
    except ValueError as error:
        raise ValueError(f"FACESEARCH_TRUSTED_PROXIES: {error}") from None
    return text


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
    qdrant_grpc: bool = Field(
        default=False,
        description="Speak gRPC to the Qdrant server instead of REST. False: REST passes every proxy; gRPC saves up to "
        "half a millisecond of CPU a call.",
    )
    qdrant_grpc_port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=6334, description="Port of Qdrant's gRPC, on the host of QDRANT_URL."
    )
    store: Literal["auto", "edge", "qdrant", "memory"] = Field(
        default="auto",
        description="Where embeddings live. auto: qdrant if QDRANT_URL is given, else edge. memory forgets on exit.",
    )
    data_dir: Path = Field(
        default_factory=lambda: _home("XDG_DATA_HOME", ".local/share"),
        description="Folder of everything that embedded mode keeps: faces, keys, counters.",
    )
    backup_dir: Path | None = Field(
        default=None,
        description="Folder below which a worker with an embedded store writes the faces of a backup, and nowhere "
        "else; `facesearch backup` takes them from there. Left out: `handover` in the data directory.",
    )
    sync: Literal["second", "always"] = Field(
        default="second",
        description="When the disk holds what embedded mode has acknowledged. second: within a second, which is what a "
        "power cut may take; always: before it is acknowledged, 1 ms later on an SSD. No killed process takes any.",
    )
    broker_memory_mb: Annotated[int, Field(ge=0, le=1_048_576)] = Field(
        default=0,
        description="MiB that the broker of embedded mode may take; when it is full, calls end in FAIL, and nothing is "
        "forgotten. 0: an eighth of the memory that the service may use, and 256 at least.",
    )
    models_dir: Path = Field(
        default_factory=lambda: _home("XDG_CACHE_HOME", ".cache") / "models",
        description="Folder of fetched and prepared models. May be copied to a machine without network.",
    )

    # A Qdrant server: how collections are made, which later changes do not touch, and how they are searched
    placement: Literal["separate", "shared"] = Field(
        default="separate",
        description="separate: one collection a facedb, up to about 1,000 on a cluster. shared: all facedbs in one "
        "collection, told apart by an indexed key, for more than that. A facedb stays where it was begun.",
    )
    qdrant_shards: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="Shards of a new collection. 1: right for one node; on a cluster, the number of nodes."
    )
    qdrant_replicas: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Copies of each shard, on as many nodes. 1: right for one node; 2 survive the loss of one.",
    )
    qdrant_write_consistency: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Copies that must have a write before it is acknowledged, at most as many as there are. 1: right "
        "for one copy; of several, one that is alive is enough. 2 of 2 lose nothing when a node is lost for good, and "
        "write nothing while it is away.",
    )
    qdrant_on_disk: bool = Field(
        default=False,
        description="Keep full vectors on disk and only the quantised ones and the graph in memory. False: as fast as "
        "can be; true takes about a third of the memory.",
    )
    qdrant_quantization: Literal["int8", "none"] = Field(
        default="int8",
        description="What large collections are searched by. int8: vectors of a quarter of the size, beside the full "
        "ones, with which the best are compared again; none: the full ones alone.",
    )
    qdrant_oversampling: Annotated[float, Field(ge=1, le=16)] = Field(
        default=2.0,
        description="How many times as many as asked for are compared again with full vectors. 2: recall as without "
        "quantisation.",
    )
    qdrant_hnsw_m: Annotated[int, Field(ge=4, le=128)] = Field(
        default=16, description="Links of each vector in the graph. 16: Qdrant's own default; more: better and larger."
    )
    qdrant_hnsw_ef_construct: Annotated[int, Field(ge=4, le=4096)] = Field(
        default=128, description="Neighbours considered when the graph is built. More: better, and slower to build."
    )
    qdrant_hnsw_ef: Annotated[int, Field(ge=50, le=4096)] = Field(
        default=512,
        description="Neighbours considered by a search. 512: lists 99.6% of what exact search lists among 100,000 "
        "made-up faces, where 256 lists 98.4% in two thirds of the time.",
    )
    exact_below: Annotated[int, Field(ge=0)] = Field(
        default=20_000,
        description="Faces of a facedb up to which every one is compared. 20,000: takes as long as the graph, and "
        "nobody is missed.",
    )
    store_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=3,
        description="Seconds in which an add, a search or a deletion on the Qdrant server must succeed, repetitions "
        "included; the visibility timeout less a second if that is shorter. 3: a job that hangs is not given to two "
        "workers.",
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
    rate: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
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
        description="Requests at once that one gateway accepts at most; beyond it, and earlier when they could not be "
        "answered in time, FAIL at once. 256: what two cores do in half a deadline.",
    )
    connections: Annotated[int, Field(ge=1)] = Field(
        default=4096,
        description="Connections that one gateway holds at most; fewer where it may not have as many descriptors and "
        "256 for itself. Beyond it those that wait for a request make room; where there is none, FAIL at once. 4096: "
        "40 MB, were all of them idle.",
    )
    connections_per_address: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Of these, what one address may have: one of IPv4, or a network of IPv6 (/64). Left out: half, so "
        "that one caller cannot take all.",
    )
    trusted_proxies: Annotated[str, AfterValidator(_checked_proxies)] | None = Field(
        default=None,
        description="Addresses and networks, with commas between them, of proxies before the gateway, which pass on "
        "many callers' requests: no address of theirs has a bound of its own. Left out: none.",
    )
    body_memory_mib: Annotated[int, Field(ge=LEAST_BODY_MEMORY_MIB)] | None = Field(
        default=None,
        description="MiB of bodies and images that the requests of one gateway hold at most; beyond it, and earlier "
        "for a caller that holds more than its share, FAIL. Left out: a quarter of the memory of its container, else "
        "of the machine, at least 64; reading a body and sending an image on take as much again at worst.",
    )
    deadline_s: Annotated[float, Field(gt=0, le=300)] = Field(
        default=10,
        description="Seconds a caller waits at most before FAIL. 10: twice the redelivery time after a killed worker.",
    )
    idempotency_s: Annotated[int, Field(ge=60, le=604_800)] = Field(
        default=86_400,
        description="Seconds for which the first outcome of a request with an Idempotency-Key is given again. 86,400: "
        "a day. Until then each such request takes 0.3 to 0.6 kB of the broker, and a search up to 5.5 kB.",
    )
    idempotency_records: Annotated[int, Field(ge=100, le=100_000_000)] = Field(
        default=100_000,
        description="Requests with an Idempotency-Key whose outcomes are remembered for one tenant at most; for each "
        "new one the oldest is forgotten. An outcome counts once for each 512 bytes. 100,000: a request a second for "
        "a day; they take 40 MB of the broker, and 90 MB at worst.",
    )
    quality_header: bool = Field(
        default=False,
        description="Tell the caller in the header X-Face-Quality what was wrong with a face whose FACE_DETECT_FAILED "
        "means that it is not shown well enough. False: callers are told what the contract says; those who send "
        "faces=one are told of several faces either way.",
    )
    http_status: HttpStatus = Field(
        default="mapped",
        description="HTTP code of the four calls' answers, unless the key has one of its own. mapped: the code echoes "
        "the status, such as 401, 429 and 503; always-200: 200 whatever the status, for clients that throw on any "
        "other code and never see the status. mapped: proxies, balancers and ready-made clients understand it.",
    )
    confidence: Confidences = Field(
        default="decimals",
        description="How confidence and similarity are written, unless the key says otherwise. decimals: with at most "
        "3; whole: rounded down to whole numbers, 94.6 to 94. decimals: nothing is lost.",
    )
    names: Names = Field(
        default="strict",
        description="Which names faces may be given. strict: at most 128 letters and digits; free: at most 128 "
        "printable characters of any language, kept as they are sent. strict: what the contract says.",
    )
    cors_origins: Annotated[str, AfterValidator(_checked_origins)] | None = Field(
        default=None,
        description="Origins whose web pages may call from a browser, scheme://host or scheme://host:port with commas "
        "between them, or * for all. Left out: none; a page that calls has an API key, and so has everybody who looks "
        "at the page. See docs/operations.md.",
    )
    drain_s: Annotated[float, Field(ge=0, le=300)] = Field(
        default=0,
        description="Seconds after SIGTERM in which a gateway still takes requests while /readyz says 503, so that "
        "load balancers go first. 0: nobody balances; in Kubernetes 5 to 10.",
    )
    max_pixels: Annotated[int, Field(ge=1)] = Field(
        default=DEFAULT_MAX_PIXELS,
        description="Most pixels an image may claim, for gateways and workers alike. 50 million: the largest common "
        "phone photos, 150 MB decoded.",
    )

    # Worker
    device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        description="What runs the models. cuda needs the extra `gpu`, and is an error at start where there is no GPU.",
    )
    worker_threads: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0,
        description="Jobs a worker does at once. 0: one per core, more gain nothing (decode and inference release "
        "the interpreter lock); with cuda two batches more, since jobs that wait for the GPU need no core.",
    )
    decoded_mb: Annotated[int, Field(ge=64, le=1_000_000)] = Field(
        default=512,
        description="Megabytes that the decoded images of a worker may take at once; jobs beyond it wait. One image "
        "alone may take more. 512: a photo of 48 megapixels and some of 12, or a PNG of 50 and one of 20.",
    )
    batch_size: Annotated[int, Field(ge=1, le=64)] = Field(
        default=8,
        description="Images, and faces, that go through a model on a GPU in one call at most. 8: what a call costs by "
        "itself is then an eighth for each, and 8 images of 640 x 640 are 39 MB. With cpu nothing is batched.",
    )
    batch_wait_ms: Annotated[float, Field(ge=0, le=100)] = Field(
        default=2,
        description="Milliseconds for which an idle GPU is kept waiting at most for what is on its way to it, once "
        "there is something to do; with nothing on its way it never waits. 2: about what a call costs by itself.",
    )
    visibility_timeout_s: Annotated[int, Field(ge=1)] = Field(
        default=5,
        description="Seconds after which the job of a dead worker is given to another. 5: well above the slowest "
        "job, and half of a caller's wait.",
    )
    detector: str = Field(default="yunet-2023mar-int8bq", description="Detection model, a name of the catalogue.")
    embedder: str = Field(
        default="sface-2021dec-int8bq",
        description="Embedding model, a name of the catalogue or of one's own (`facesearch models add`).",
    )
    accept_noncommercial: bool = Field(
        default=False,
        description="Allow models whose licence forbids commercial use. False: nobody slips into a breach.",
    )
    detection_score: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.8,
        description="Least score, (0, 1), of a face where a photo is looked at as a whole. What the detector finds is "
        "also looked at upright and enlarged, and must look like a face there. 0.8: see docs/models.md.",
    )
    quality_add: Literal["off", "standard", "strict"] = Field(
        default="standard",
        description="How well a face must be shown to be added; the others of the image are added without it. "
        "standard: refuses what can only do harm, blurred, tiny, black or white faces, which are found by nobody or by "
        "anybody; strict: for portraits that can be taken again; off: every face. See docs/models.md.",
    )
    quality_search: Literal["off", "standard", "strict"] = Field(
        default="standard",
        description="How well the most prominent face must be shown to be searched for, or compared. standard: what is "
        "refused would not be found; strict, off: as above.",
    )
    edge_open_collections: Annotated[int, Field(ge=1)] = Field(
        default=64,
        description="Collections that Qdrant Edge keeps open; the least recently used is closed. 64: "
        "0.1 GB of memory, and 2 GB of mapped files that the system may drop.",
    )

    # Metrics, traces and logs
    metrics_host: str = Field(
        default="127.0.0.1", description="Address of /metrics. Loopback: nothing is exposed unasked."
    )
    metrics_port: Annotated[int, Field(ge=1, le=65534)] | None = Field(
        default=None,
        description="Port of /metrics for Prometheus, of gateway and worker each. Left out: there are none. "
        "`facesearch up` gives the worker the next one.",
    )
    traces_url: str | None = Field(
        default=None,
        description="Where traces go: the base URL of an OpenTelemetry collector that takes OTLP over HTTP, such as "
        "http://collector:4318. Needs the extra `otel`. Left out: no traces.",
    )
    traces_sample: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1, description="Part of the requests that are traced, 0 to 1. 1: all; lower it when they cost too much."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="json for machines; console for people, as `facesearch up` does."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- ours knows its folder
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, then the environment, then files named like variables in SECRETS_DIR."""
        sources = [init_settings, env_settings]
        if SECRETS_DIR.is_dir():
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=SECRETS_DIR))
        return tuple(sources)

    @classmethod
    def read(cls, **given: Any) -> "Settings":
        """The settings of the environment, with what is given on top. Raises OperatorError, which names the settings
        that are wrong and quotes none: they may be secrets.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            wrong = "; ".join(cls._complaint(str(item["loc"][0]), item["msg"], given) for item in error.errors())
            raise OperatorError(wrong) from None

    @classmethod
    def _complaint(cls, where: str, why: str, given: Mapping[str, Any]) -> str:
        """What is wrong with one setting, by the name that its owner knows: an option where it was given as one."""
        name = cls.variables().get(where, where)
        field = cls.model_fields.get(name)
        if field is None:
            return f"{where}: {why}"
        called = f"--{name.replace('_', '-')}" if name in given else f"setting {cls._variable(name, field)}"
        limits = {end: getattr(part, end) for part in field.metadata for end in _ENDS if hasattr(part, end)}
        if set(limits) == set(_ENDS):
            return f"{called} must be {limits['ge']} to {limits['le']}"
        return f"{called}: {why}"

    @classmethod
    def variables(cls) -> dict[str, str]:
        """The name of every setting by the name of its environment variable, in the order of the settings."""
        return {cls._variable(name, field): name for name, field in cls.model_fields.items()}

    @classmethod
    def _variable(cls, name: str, field: FieldInfo) -> str:
        if isinstance(field.validation_alias, AliasChoices):
            return str(field.validation_alias.choices[0])
        return f"{cls.model_config['env_prefix']}{name}".upper()

    @property
    def broker(self) -> str:
        """URL of the broker. Raises OperatorError when it is neither given nor embedded, or is no URL of a Redis."""
        if self.redis_url is None:
            raise OperatorError("REDIS_URL is not set; give one, or let `facesearch up` start everything")
        return _checked(self.redis_url, "REDIS_URL")

    @property
    def images(self) -> str:
        """URL of the image store. Raises OperatorError as `broker` does."""
        return _checked(self.images_url, "FACESEARCH_IMAGES_URL") if self.images_url else self.broker

    @property
    def allowed_origins(self) -> frozenset[str]:
        """Those of cors_origins, as shared/origins.py gives them; empty where there is no CORS."""
        return origins.parse(self.cors_origins) if self.cors_origins is not None else frozenset()

    @property
    def known_proxies(self) -> Sequence[proxies.Network]:
        """Those of trusted_proxies; empty where there is none."""
        return proxies.parse(self.trusted_proxies) if self.trusted_proxies is not None else ()

    @property
    def handover(self) -> Path:
        """Folder below which a worker writes the faces of a backup, absolute."""
        return (self.backup_dir or self.data_dir / "handover").expanduser().absolute()

    @property
    def body_memory_bytes(self) -> int:
        """Bytes of bodies and images that the requests of one gateway hold at most."""
        mib = 1 << 20
        if self.body_memory_mib is not None:
            return self.body_memory_mib * mib
        return max(LEAST_BODY_MEMORY_MIB * mib, memory_bytes() // 4)

    @property
    def threads(self) -> int:
        """Jobs a worker does at once."""
        if self.worker_threads:
            return self.worker_threads
        # While every core decodes, a full batch may be in, or wait for, each of the two models.
        waiting = 2 * self.batch_size if self.device == "cuda" else 0
        return cores() + waiting

    @property
    def image_ttl_s(self) -> int:
        """Seconds an image outlives its job's deadline at most, plus the deadline: a backstop, see docs."""
        return int(self.deadline_s) + 5

    @property
    def store_kind(self) -> Literal["edge", "qdrant", "memory"]:
        if self.store != "auto":
            return self.store
        return "qdrant" if self.qdrant_url else "edge"
