"""The URL of a Redis: one server, or the master that Sentinels know.

    redis://[user:password@]host[:6379][/database]
    unix:///path/of.sock[?db=database]
    redis+sentinel://[user:password@]host[:26379][,host[:26379]…]/master[/database]

rediss:// and rediss+sentinel:// do the same over TLS, with ?ssl_ca_certs=/path, ssl_cert_reqs=required|none,
ssl_check_hostname=true|false, and ssl_certfile=/path with ssl_keyfile=/path where the server asks for a certificate.
With Sentinels, user and password are the servers' own; those of the Sentinels are ?sentinel_username= and
sentinel_password=.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from shared.errors import OperatorError

PORT: Final = 6379
SENTINEL_PORT: Final = 26379

SENTINEL_TIMEOUT_S: Final = 1.0
"""A Sentinel that does not answer within this is skipped: they are asked one after the other while a request waits."""

_SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_SENTINEL_LOGIN: Final = ("sentinel_username", "sentinel_password")
_BOOLEANS: Final = {"true": True, "false": False}
_HOW: Final = (
    "REDIS_URL and FACESEARCH_IMAGES_URL are written redis://host:6379/0, rediss://host:6379/0, unix:///path/of.sock "
    "or redis+sentinel://host:26379,host:26379/master"
)

WAITING: Final = "it is waited for: see that it runs, and that REDIS_URL leads to it"
"""Log text beside the address of a broker that does not answer yet."""

UNNAMED: Final = "the URL of Redis"
"""The name of a URL that came from no setting."""

Host = tuple[str, int]


@dataclass(frozen=True)
class RedisUrl:
    """The content of a URL.

    hosts: the server, or the Sentinels; empty for a Unix socket. master: the name by which Sentinels know the server.
    tls: what redis-py's SSLConnection takes, None without TLS. login, sentinel_login: username and password as far as
    they are given; no representation shows them.
    """

    hosts: tuple[Host, ...]
    socket: str | None = None
    master: str | None = None
    database: int = 0
    tls: Mapping[str, Any] | None = None
    login: Mapping[str, str] = field(default_factory=dict, repr=False)
    sentinel_login: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """Return the address without credentials: host and port, or the path of the socket."""
        if self.socket is not None:
            return self.socket
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return hosts if self.master is None else f"{hosts} (master {self.master})"

    def tls_options(self) -> dict[str, Any]:
        """Return redis-py's options for TLS; empty without TLS."""
        return {} if self.tls is None else {"ssl": True, **self.tls}

    def sentinel_options(self) -> dict[str, Any]:
        """Return redis-py's options for connections to the Sentinels."""
        timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), SENTINEL_TIMEOUT_S)
        return {**timeouts, **self.sentinel_login, **self.tls_options()}


def parse(url: str, setting: str = UNNAMED) -> RedisUrl:
    """Raises OperatorError when it is no URL of a Redis; the text holds neither the URL nor a password. setting: the
    variable that it came from, which the text names.
    """
    try:
        return _parsed(url)
    except _WrongUrlError as error:
        raise OperatorError(f"{setting} is wrong: {error}; {_HOW}") from None


class _WrongUrlError(Exception):
    """The flaw of a URL. The text quotes nothing that may be secret."""


def _parsed(url: str) -> RedisUrl:
    parts = _split(url)
    sentinel = parts.scheme.endswith("+sentinel")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    login = {
        name: unquote(value) for name, value in (("username", parts.username), ("password", parts.password)) if value
    }
    sentinel_login = {
        name.removeprefix("sentinel_"): given.pop(name) for name in _SENTINEL_LOGIN if sentinel and name in given
    }
    if parts.scheme == "unix":
        if not parts.path:
            raise _WrongUrlError("a Unix socket needs a path")
        database = _database(given.pop("db", "0"))
        _require_nothing_of(given)
        return RedisUrl((), unquote(parts.path), database=database, login=login)
    tls = _tls(given) if parts.scheme.startswith("rediss") else None
    hosts = _hosts(parts.netloc, SENTINEL_PORT if sentinel else PORT)
    path = [unquote(part) for part in parts.path.split("/")[1:] if part]
    master = None
    if sentinel:
        if not path:
            raise _WrongUrlError("the name of the master is missing")
        master = path.pop(0)
    elif len(hosts) > 1:
        raise _WrongUrlError("several hosts are for redis+sentinel://")
    if len(path) > 1:
        raise _WrongUrlError("its path is too long")
    database = _database(path[0] if path else given.pop("db", "0"))
    _require_nothing_of(given)
    return RedisUrl(hosts, None, master, database, tls, login, sentinel_login)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:  # its text would show the host and what stands before it
        raise _WrongUrlError("its host makes no sense") from None
    if parts.scheme not in _SCHEMES:
        raise _WrongUrlError("its scheme is unknown")
    return parts


def _hosts(netloc: str, default_port: int) -> tuple[Host, ...]:
    try:
        pieces = [urlsplit(f"//{piece}") for piece in netloc.rpartition("@")[2].split(",")]
        hosts = tuple((piece.hostname, piece.port or default_port) for piece in pieces)
    except ValueError:
        raise _WrongUrlError("a host or port makes no sense") from None
    named = tuple((name, port) for name, port in hosts if name)
    if len(named) < len(hosts):
        raise _WrongUrlError("a host is missing")
    return named


def _database(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _WrongUrlError("its database is no number")
    return int(text)


def _tls(given: dict[str, str]) -> dict[str, Any]:
    """Takes what it knows out of the query."""
    tls: dict[str, Any] = {
        name: given.pop(name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile") if name in given
    }
    tls["ssl_cert_reqs"] = given.pop("ssl_cert_reqs", "required")
    if tls["ssl_cert_reqs"] not in ("required", "none"):
        raise _WrongUrlError("ssl_cert_reqs is required or none")
    check = given.pop("ssl_check_hostname", "true")
    if check not in _BOOLEANS:
        raise _WrongUrlError("ssl_check_hostname is true or false")
    tls["ssl_check_hostname"] = _BOOLEANS[check] and tls["ssl_cert_reqs"] == "required"
    return tls


def _require_nothing_of(given: Mapping[str, str]) -> None:
    if given:
        raise _WrongUrlError(f"{', '.join(map(repr, sorted(given)))} in its query is not known here, or needs TLS")
