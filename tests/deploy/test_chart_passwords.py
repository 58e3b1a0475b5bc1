"""Passwords of the chart's own servers are made once: an upgrade reads those of the installation from the cluster.

The cluster is a stand-in that serves Secrets only, the one kind that the chart looks up.
"""

import base64
import json
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

WHERE = "/api/v1/namespaces/faces/secrets/facesearch-servers"
MADE = {"VALKEY_PASSWORD": "first", "IMAGES_PASSWORD": "second", "QDRANT_API_KEY": "third"}

DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "secrets", "namespaced": True, "kind": "Secret", "verbs": ["get"]}],
    },
}


@pytest.fixture
def cluster() -> Iterator[tuple[str, dict[str, Any]]]:
    """The address of the cluster, and its objects by path, which a test may change."""
    objects: dict[str, Any] = dict(DISCOVERY)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = objects.get(self.path.partition("?")[0])
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(found or missing).encode()
            self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", objects
        finally:
            server.shutdown()
            thread.join()


def servers_secret(address: str, chart_folder: Path) -> dict[str, str]:
    """Return the Secret of the servers as an installation or upgrade in that cluster would write it."""
    from helm_python import Chart, Config  # noqa: PLC0415 -- only `make check-deploy` installs it

    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "stand-in", "cluster": {"server": address}}],
        "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "nobody"}}],
        "users": [{"name": "nobody", "user": {}}],
        "current-context": "stand-in",
    }
    with (
        Config(kubeconfig_content=yaml.safe_dump(kubeconfig), namespace="faces", storage_driver="memory") as config,
        Chart.load(chart_folder) as chart,
    ):
        texts = config.render(chart, {}, name="facesearch", namespace="faces")
    return yaml.safe_load(texts["facesearch/templates/servers/secret.yaml"])["stringData"]


def test_an_upgrade_keeps_the_passwords(cluster: tuple[str, dict[str, Any]], chart_folder: Path) -> None:
    address, objects = cluster
    data = {key: base64.b64encode(value.encode()).decode() for key, value in MADE.items()}
    objects[WHERE] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "facesearch-servers"}, "data": data}
    secret = servers_secret(address, chart_folder)
    assert {key: secret[key] for key in MADE} == MADE
    assert secret["REDIS_URL"] == "redis://:first@facesearch-valkey:6379/0"
    assert secret["valkey.conf"] == "requirepass first"


def test_every_installation_makes_passwords_of_its_own(cluster: tuple[str, dict[str, Any]], chart_folder: Path) -> None:
    address, _ = cluster
    secrets = [servers_secret(address, chart_folder) for _ in range(2)]
    made = [secret[key] for secret in secrets for key in MADE]
    assert len(set(made)) == 6
    assert {len(password) for password in made} == {32}
