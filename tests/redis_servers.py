"""Valkey as operators run it: over TLS with a password, and as a master with a replica and three Sentinels."""

import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.sentinel import MasterNotFoundError, Sentinel

from facesearch.embedded import servers as valkey
from processes import answers, wait_for

PASSWORD = "p@ss/w:rd"  # noqa: S105 -- of a server of one test; it needs escaping in a URL
ESCAPED = "p%40ss%2Fw%3Ard"
MASTER = "main"
DOWN_AFTER_MS = 1000


def free_ports(count: int) -> list[int]:
    """Return different free ports, below those of outgoing connections, which could take one before a server does."""
    ports: set[int] = set()
    while len(ports) < count:
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.add(port)
    return list(ports)


@contextmanager
def server(folder: Path, *options: str, binary: str | Path = "") -> Iterator[subprocess.Popen[bytes]]:
    """Run a server without persistence, the packaged Valkey by default."""
    folder.mkdir(exist_ok=True)
    common = ["--dir", str(folder), "--logfile", str(folder / "valkey.log"), "--save", "", "--bind", "127.0.0.1"]
    with subprocess.Popen([binary or valkey.binary(), *common, *options]) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(frozen=True)
class Tls:
    """A server with TLS. host_port: its address. certificate: its own, which is also its authority."""

    host_port: str
    certificate: Path

    def url(self, **query: str) -> str:
        options = {"ssl_ca_certs": str(self.certificate)} | query
        return f"rediss://:{ESCAPED}@{self.host_port}/1?" + "&".join(
            f"{name}={value}" for name, value in options.items()
        )


@contextmanager
def tls_in_front(folder: Path) -> Iterator[Tls]:
    """Run a Valkey behind a proxy that speaks TLS, since the packaged Valkey is built without it."""
    certificate, key = make_certificate(folder)
    (port,), path = free_ports(1), folder / "v.sock"
    front = [sys.executable, str(Path(__file__).with_name("tls_front.py")), certificate, key, path, str(port)]
    with server(folder / "valkey", *as_arguments({"port": "0", "unixsocket": str(path), "requirepass": PASSWORD})):
        wait_for(path.exists)
        with subprocess.Popen(front) as process:
            try:
                yield await_tls(Tls(f"127.0.0.1:{port}", certificate))
            finally:
                process.kill()


@contextmanager
def tls_redis(folder: Path) -> Iterator[Tls]:
    """Run the redis-server of this machine, which speaks TLS itself and has no other port."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("there is no redis-server on this machine (Debian: apt-get install redis-server)")
    certificate, key = make_certificate(folder)
    (port,) = free_ports(1)
    options = {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(certificate),
        "tls-auth-clients": "no",
        "requirepass": PASSWORD,
    }
    with server(folder / "redis", *as_arguments(options), binary=found):
        yield await_tls(Tls(f"127.0.0.1:{port}", certificate))


def await_tls(made: Tls) -> Tls:
    port = int(made.host_port.partition(":")[2])
    with Redis(port=port, password=PASSWORD, ssl=True, ssl_cert_reqs="none") as client:
        wait_for(lambda: answers(client))
    return made


@dataclass
class Failover:
    """A master, its replica, and three Sentinels."""

    sentinels: list[int]
    servers: dict[int, subprocess.Popen[bytes]]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://:{ESCAPED}@{hosts}/{MASTER}/2"

    def master(self) -> int:
        """Return the port of the present master according to the Sentinels, 0 while there is none."""
        with Sentinel([("127.0.0.1", port) for port in self.sentinels]) as sentinels:
            try:
                return sentinels.discover_master(MASTER)[1]
            except MasterNotFoundError:
                return 0

    def agreed(self) -> bool:
        """Return whether every Sentinel knows the other two and a replica that has caught up."""
        for port in self.sentinels:
            with Redis(port=port) as sentinel:
                state = sentinel.sentinel_master(MASTER)
                if state["num-other-sentinels"] != 2 or state["num-slaves"] != 1:
                    return False
        with Redis(port=self.master(), password=PASSWORD) as master:
            return master.info("replication").get("slave0", {}).get("state") == "online"

    def replicated(self) -> bool:
        """Return whether a replica has all writes that the master has acknowledged."""
        with Redis(port=self.master(), password=PASSWORD) as master:
            return master.wait(1, 1000) == 1

    def kill_master(self) -> int:
        """Kill the master with SIGKILL. Returns its port."""
        port = self.master()
        self.servers[port].kill()
        self.servers[port].wait()
        return port


@contextmanager
def failover(folder: Path) -> Iterator[Failover]:
    with ExitStack() as stack:
        first, second, *sentinels = free_ports(5)
        secured = {"requirepass": PASSWORD, "masterauth": PASSWORD, "repl-diskless-sync-delay": "0"}
        servers = {}
        for port in (first, second):
            options = {"port": str(port), **secured}
            if port == second:
                options["replicaof"] = f"127.0.0.1 {first}"
            servers[port] = stack.enter_context(server(folder / str(port), *as_arguments(options)))
            with Redis(port=port, password=PASSWORD) as client:
                wait_for(lambda client=client: answers(client))
        for port in sentinels:
            stack.enter_context(sentinel(folder / str(port), port, first))
        running = Failover(sentinels, servers)
        wait_for(lambda: all(sentinel_answers(port) for port in sentinels))
        wait_for(running.agreed)
        yield running


@contextmanager
def sentinel(folder: Path, port: int, master: int) -> Iterator[None]:
    folder.mkdir()
    configuration = folder / "sentinel.conf"  # Sentinels change their configuration file
    configuration.write_text(
        f"""port {port}
bind 127.0.0.1
dir "{folder}"
logfile "{folder}/sentinel.log"
sentinel monitor {MASTER} 127.0.0.1 {master} 2
sentinel auth-pass {MASTER} {PASSWORD}
sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}
sentinel failover-timeout {MASTER} 3000
"""
    )
    with subprocess.Popen([str(valkey.binary()), str(configuration), "--sentinel"]) as process:
        try:
            yield
        finally:
            process.kill()


def as_arguments(options: dict[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", *value.split(" "))]


def make_certificate(folder: Path, name: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """Make a self-signed certificate for that name. Returns the files of certificate and key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    certificate, key = folder / "server.crt", folder / "server.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=valkey"
    names = f"subjectAltName={name}"
    made = [*command.split(), "-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    return certificate, key


def sentinel_answers(port: int) -> bool:
    with Redis(port=port) as client:
        return answers(client)
