"""A stand-in for a Qdrant server, for machines that cannot have the real one.

It is a process that speaks the part of Qdrant's REST and gRPC interfaces that facesearch calls, and keeps its
collections in a folder. Storage, filters and comparisons are Qdrant's own engine (Qdrant Edge); gRPC messages are those
of Qdrant's client. Codes and texts of refusals follow the server's.

It is not a Qdrant server. There are no graphs and no quantisation: their settings are stored and reported, and every
search is exact. There is one node, one shard and one replica, whatever is requested and however many nodes it reports;
ordering and consistency are ignored. Snapshots have a format of its own. Its speed and recall say nothing about the
real server.

    python tests/qdrant_server.py FOLDER [--host 127.0.0.1] [--port 0] [--grpc-port 0] [--api-key KEY]
                                         [--record FILE] [--tls CERTIFICATE KEY] [--peers 1] [--lost 0]

The command prints its two ports on one line when it listens, and ends on SIGTERM. --record: write every call as a line
of JSON, without vectors. --peers: the number of nodes that its cluster reports. --lost: how many of these, the last
ones, it reports as out of service.
"""

import argparse
import json
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from qdrant_standin import rest, rpc
from qdrant_standin.engine import Engine
from qdrant_standin.info import Nodes
from qdrant_standin.snapshots import Snapshots


@dataclass(frozen=True)
class Server:
    """A running stand-in. It keeps its ports if it is started again with them."""

    url: str
    port: int
    grpc_port: int
    folder: Path
    process: subprocess.Popen[str]

    def calls(self, name: str) -> list[dict[str, Any]]:
        """Return the recorded calls of this name, as --record writes them."""
        lines = map(json.loads, (self.folder / "record").read_text().splitlines())
        return [line for line in lines if line["call"] == name]


@contextmanager
def served(
    folder: Path,
    api_key: str | None = None,
    ports: tuple[int, int] = (0, 0),
    tls: tuple[Path, Path] | None = None,
    peers: int = 1,
    lost: int = 0,
) -> Iterator[Server]:
    """Run a stand-in on its folder. ports: of REST and gRPC, 0 for any. tls: certificate and key."""
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "record"
    record.touch()
    command = [sys.executable, str(Path(__file__)), str(folder), "--record", str(record), "--peers", str(peers)]
    command += ["--lost", str(lost)]
    command += ["--port", str(ports[0]), "--grpc-port", str(ports[1])]
    command += ["--api-key", api_key] if api_key else []
    command += ["--tls", *map(str, tls)] if tls else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().split()
            assert line, "the stand-in did not start; see its error above"
            port, grpc_port = map(int, line)
            scheme = "https" if tls else "http"
            yield Server(f"{scheme}://127.0.0.1:{port}", port, grpc_port, folder, process)
        finally:
            process.send_signal(signal.SIGCONT)  # a test may have stopped the process
            process.kill()


@contextmanager
def qdrant(folder: Path, api_key: str | None = None) -> Iterator[str]:
    """Run a stand-in on its folder. Yields its URL."""
    with served(folder, api_key) as server:
        yield server.url


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for a Qdrant server.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--grpc-port", type=int, default=0)
    parser.add_argument("--api-key")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--tls", nargs=2, type=Path)
    parser.add_argument("--peers", type=int, default=1)
    parser.add_argument("--lost", type=int, default=0)
    given = parser.parse_args()

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    engine = Engine(given.folder, Nodes(given.peers, given.lost), given.record)
    over_http = rest.server(
        (given.host, given.port), rest.Routes(engine, Snapshots(given.folder, engine)), given.api_key
    )
    over_grpc = rpc.server(engine, given.api_key)
    address = f"{given.host}:{given.grpc_port}"
    if given.tls:
        certificate, key = given.tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        over_http.socket = context.wrap_socket(over_http.socket, server_side=True)
        pair = (key.read_bytes(), certificate.read_bytes())
        grpc_port = over_grpc.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        grpc_port = over_grpc.add_insecure_port(address)
    threading.Thread(target=over_http.serve_forever, daemon=True).start()
    over_grpc.start()
    print(over_http.server_port, grpc_port, flush=True)
    stop.wait()
    over_http.shutdown()
    over_grpc.stop(1).wait()
    engine.close()


if __name__ == "__main__":
    main()
