"""A server of a caller that takes webhooks over TLS, for tests."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from redis_servers import make_certificate
from shared.control import DEFAULT, Control
from shared.redis_clients import connect

NAME = "localhost"

LOOPBACK = "127.0.0.0/8,::1/128"
"""The networks of FACESEARCH_WEBHOOK_NETWORKS that a receiver here is in."""


@dataclass
class Receiver:
    """port: of its server. certificate: its own, which is also its authority. got: path, headers and body of each
    request. codes: HTTP codes of the next answers; then 204. headers: of every answer.
    """

    port: int
    certificate: Path
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}/hook?token=secret"

    @property
    def host(self) -> str:
        return f"{NAME}:{self.port}"


def webhooks_to(receiver: Receiver) -> dict[str, str]:
    """Return the settings of a service that may send webhooks there, and nowhere else."""
    return {
        "FACESEARCH_WEBHOOK_HOSTS": receiver.host,
        "FACESEARCH_WEBHOOK_NETWORKS": LOOPBACK,
        "SSL_CERT_FILE": str(receiver.certificate),
    }


def make_webhook_secret(broker_url: str, tenant: str = DEFAULT) -> str:
    """Make the secret of a tenant. Returns it."""

    async def make() -> str:
        async with connect(broker_url) as redis:
            return await Control(redis).renew_webhook_secret(tenant)

    return asyncio.run(make())


@contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    """Run a receiver with a certificate of its own."""
    certificate, key = make_certificate(folder, f"DNS:{NAME}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((self.path, dict(self.headers.items()), body))
            self.send_response(receiver.codes.pop(0) if receiver.codes else 204)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of a client that refuses the certificate."""

    with Server(("127.0.0.1", 0), Handler) as server:
        # Its handshake is in the thread of the connection.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        receiver = Receiver(server.server_address[1], certificate)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
