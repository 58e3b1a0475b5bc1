"""Nothing of ours asks DNS, connects to another machine, or writes outside our own folders.

Everything runs as a person runs it, with a home of its own and no optional setting: the service with all its processes,
and each command. The guard sees what libraries do as well.
"""

import base64
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from portraits import astronaut_png, darken, faceless_png, hopper_jpeg, reencode, scale
from privacy.guard import Guard, why_not
from processes import python, two_free_ports
from qdrant_server import served
from service import Service
from shared.settings import Settings
from tiny_embedders import grid_means, saved
from worker.models import catalog

_WHY_NOT = why_not()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT),
    pytest.mark.embedded("it watches servers of its own"),
]

NOT_GIVEN = (
    *("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
    *("FACESEARCH_DATA_DIR", "FACESEARCH_MODELS_DIR"),
    # The code has to turn it off itself.
    "ORT_DISABLE_TELEMETRY",
    # Coverage would write its results beside the sources.
    *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),
)

KNOWN = {
    # Of libuuid, which notes there when it last made a time-based id. redis-py makes the token of a lock so, and kombu
    # takes a lock when it looks for jobs of dead workers. The token goes to our own broker.
    "/run/uuidd/request",
    "/var/lib/libuuid/clock.txt",
}
"""Files of the system that our libraries use and that reveal nothing to anybody."""

IMG = {"img": base64.b64encode(hopper_jpeg()).decode()}
ANOTHER = {"img": base64.b64encode(reencode(hopper_jpeg())).decode()}


@dataclass(frozen=True)
class Home:
    """A home folder, with two folders and a third for temporary files that are ours, and one for the user's
    own files.
    """

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / ".local/share/facesearch"

    @property
    def models(self) -> Path:
        return self.folder / ".cache/facesearch/models"

    @property
    def kept(self) -> Path:
        return self.folder / "kept"

    @property
    def environment(self) -> dict[str, str]:
        temporary = str(self.folder / "temporary")
        return {**dict.fromkeys(NOT_GIVEN, ""), "HOME": str(self.folder), "TMPDIR": temporary}

    @property
    def ours(self) -> list[Path]:
        return [self.data, self.folder / ".cache/facesearch", self.folder / "temporary", self.kept]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The models folder has the original files, as one that was copied from another machine."""
    made = Home(tmp_path_factory.mktemp("home"))
    made.models.mkdir(parents=True)
    (made.folder / ".local/share").mkdir(parents=True)
    for folder in ("temporary", "kept"):
        (made.folder / folder).mkdir()
    settings = Settings()
    for model in (catalog.find(settings.detector, "detection"), catalog.find(settings.embedder, "embedding")):
        name = f"{model.sha256[:16]}-{model.file}"
        shutil.copyfile(settings.models_dir / name, made.models / name)
    photos = {
        "eileen/a.png": astronaut_png(),
        "eileen/b.jpg": reencode(astronaut_png()),
        "eileen/c.png": scale(astronaut_png(), 0.5),
        "grace/a.jpg": hopper_jpeg(),
        "grace/b.png": darken(hopper_jpeg()),
        "grace/c.png": faceless_png(),
    }
    for name, data in photos.items():
        path = made.kept / "people" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    saved(grid_means(112), made.kept / "tiny.onnx")
    return made


@pytest.fixture(scope="module")
def guard(home: Home) -> Iterator[Guard]:
    with Guard(home.ours, KNOWN) as watching:
        yield watching


@pytest.fixture(scope="module")
def reported() -> list[str]:
    """The violations that earlier tests have failed for."""
    return []


@pytest.fixture(autouse=True)
def no_violation(guard: Guard, reported: list[str]) -> Iterator[None]:
    """Fail a test for violations since the test before, those of its fixtures included."""
    yield
    new = guard.violations[len(reported) :]
    reported.extend(new)
    assert new == []


ONE_PROCESS = """
import json, sys
from facesearch.cli.main import main

for words, expected in json.loads(sys.argv[1]):
    try:
        status = main(words, standalone_mode=False) or 0
    except SystemExit as end:
        status = end.code or 0
    assert status == expected, f"{words}: {status}"
"""


@dataclass(frozen=True)
class Watched:
    """Python, run under the guard with that home."""

    home: Home
    guard: Guard

    def __call__(self, *words: object, status: int = 0, **environment: str) -> str:
        """Return the output of `python WORDS`."""
        launcher = self.guard.command[1:]
        done = python(*launcher, sys.executable, *map(str, words), **self.home.environment, **environment)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    def commands(self, *lines: tuple[object, ...], status: int = 0, **settings: str) -> str:
        """Return the output of several commands, each with that exit status, run in one process, which is faster."""
        words = [([*map(str, line)], status) for line in lines]
        return self("-c", ONE_PROCESS, json.dumps(words), **settings)


@pytest.fixture(scope="module")
def watched(home: Home, guard: Guard) -> Watched:
    return Watched(home, guard)


@pytest.fixture(scope="module")
def pulled(watched: Watched) -> str:
    """Return the output of pulling from the filled folder. The models are prepared by then."""
    return watched("-m", "facesearch", "models", "pull")


class Collector(BaseHTTPRequestHandler):
    """Receives traces, on this machine."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.set()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing to stderr."""


@pytest.fixture(scope="module")
def collector() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.taken = threading.Event()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def service(
    home: Home,
    guard: Guard,
    pulled: str,  # noqa: ARG001 -- a service would do it itself, within its time to start
    collector: ThreadingHTTPServer,
) -> Iterator[Service]:
    """A service with all its optional parts: the admin API, metrics and traces."""
    settings = {
        "FACESEARCH_ADMIN_PORT": "0",
        "FACESEARCH_METRICS_PORT": str(two_free_ports()),
        "FACESEARCH_CALL_LOG": "1",
        "FACESEARCH_TRACES_URL": f"http://127.0.0.1:{collector.server_port}",
    }
    with Service(home.data, {**home.environment, **settings}, through=guard.command) as running:
        yield running


def test_models_are_pulled_from_a_filled_folder(pulled: str, home: Home) -> None:
    assert "fetching" not in pulled
    assert len(list(home.models.glob("*.prepared-*.onnx"))) == 2


def test_a_service_with_all_its_calls_and_ports(service: Service, collector: ThreadingHTTPServer) -> None:
    added = service.http.post("/v1/addface", data=IMG).json()["message"]
    assert service.http.post("/v1/searchface", data=ANOTHER).json()["message"][0]["person_id"] == added[0]["person_id"]
    compared = service.http.post("/v1/facecompare", data={"img1": IMG["img"], "img2": ANOTHER["img"]}).json()
    assert compared["message"]["result"] == "SAME PERSON"
    nobody = {"img": base64.b64encode(faceless_png()).decode()}
    assert service.http.post("/v1/searchface", data=nobody).json()["status"] == "FACE_DETECT_FAILED"
    assert service.http.post("/v1/delface", data={"person_id": added[0]["person_id"]}).json()["status"] == "OK"
    assert service.http.post("/v1/addface", data=IMG).json()["status"] == "OK"
    assert service.http.get("/openapi.json").status_code == 200
    port = int(service.settings["FACESEARCH_METRICS_PORT"])
    for each in (port, port + 1):
        assert "facesearch_" in httpx.get(f"http://127.0.0.1:{each}/metrics").text
    assert collector.taken.wait(30), "no trace came"


def test_commands_beside_a_running_service(watched: Watched, service: Service, home: Home) -> None:
    said = watched.commands(
        ("doctor",),
        ("tenants", "create", "shop"),
        ("tenants", "list"),
        ("facedbs", "create", "visitors", "--tenant", "shop"),
        ("facedbs", "default", "visitors", "--tenant", "shop"),
        ("facedbs", "list", "--tenant", "shop"),
        ("keys", "create", "--name", "till", "--tenant", "shop"),
        ("keys", "list", "--tenant", "shop"),
        ("import", home.kept / "people" / "eileen", "--names", "file", "--journal", home.kept / "import.jsonl"),
        ("usage",),
        ("usage", "--csv", home.kept / "usage.csv"),
        ("backup", home.kept / "backup"),
        ("verify", home.kept / "backup"),
        ("tenants", "drop", "shop", "--yes"),
        ("audit",),
        ("audit", "verify"),
        ("audit", "calls"),
        ("erase",),
        ("settings",),
        FACESEARCH_PORT=str(httpx.URL(service.address).port),
    )
    parts = ("is ready", "shop", "visitors", "till", "addface", "checked by its manifest.json", "REDIS_URL")
    for part in (*parts, "photos a second", "tenant.drop", "wait to be removed"):
        assert part in said
    watched("-m", "worker", "--health", REDIS_URL=service.broker)


def test_commands_that_run_models(watched: Watched, pulled: str, home: Home) -> None:  # noqa: ARG001 -- prepares models
    photos = home.kept / "people"
    said = watched.commands(
        ("models", "list"),
        ("models", "add", home.kept / "tiny.onnx", "--like", "arcface", "--name", "tiny"),
        ("evaluate", photos, "--report", home.kept / "report.html"),
    )
    for part in ("sface-2021dec-int8bq", "tiny is described in", "impostor pairs"):
        assert part in said
    # Two people are too few, which it reports after it has processed them.
    assert "people" in watched.commands(("calibrate", photos), status=1)


def test_data_of_a_stopped_service(watched: Watched, service: Service, home: Home) -> None:
    """The last test with the service, which it stops."""
    assert service.stop() == 0
    another = home.kept / "another"
    said = watched.commands(("backup", another), ("restore", another, "--overwrite"), ("verify",), ("erase", "--now"))
    assert "has rewritten its append-only file" in said
    assert "checked by its manifest.json" in said


STORE = """
import sys, uuid
from contextlib import closing
import numpy as np
from shared.settings import Settings
from worker.models.identity import Identity
from worker.store.base import Point
from worker.store.qdrant.backend import open_qdrant

url, port = sys.argv[1], int(sys.argv[2])
for grpc in (False, True):
    settings = Settings(qdrant_url=url, qdrant_grpc=grpc, qdrant_grpc_port=port)
    with closing(open_qdrant(settings, Identity("sface", "0" * 64, 1, 4))) as store:
        store.add(f"collection.{grpc}", [Point(uuid.uuid4(), "ID0", np.eye(4, dtype=np.float32)[0])])
        assert store.count(f"collection.{grpc}") == 1
"""


def test_the_clients_of_a_qdrant_server(watched: Watched, tmp_path: Path) -> None:
    """The server is not ours, and not guarded."""
    with served(tmp_path) as server:
        watched("-c", STORE, server.url, server.grpc_port)


def test_benchmarks_that_run_models_in_process(watched: Watched) -> None:
    root = Path(__file__).parents[2]
    path = ":".join(str(root / folder) for folder in (".", "tests", "bench"))
    drawing = str(watched.home.kept / "matplotlib")  # where matplotlib caches its list of fonts
    watched("-c", "import int8_ranges, recognition", PYTHONPATH=path, MPLCONFIGDIR=drawing)
