"""Compose and the chart can set every setting, and name no variable that is not a setting."""

import importlib
import itertools
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from shared import unknown_variables
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "facesearch"
COMPOSE = [ROOT / "docker-compose.yml", *sorted((ROOT / "deploy").glob("compose.*.yml"))]

VARIABLE = re.compile(r"\b(?:FACESEARCH_[A-Z_]+|REDIS_URL|QDRANT_URL|QDRANT_API_KEY)\b")

COMPOSE_VARIABLES = {
    "FACESEARCH_BACKUPS": "volume or folder of backups",
    "FACESEARCH_BACKUPS_KEEP": "how many are kept",
    "FACESEARCH_BIND": "address on which the port of the gateway is published",
    "FACESEARCH_PUBLISH": "port under which the gateway is published",
    "FACESEARCH_VERSION": "tag of the images",
}
"""Variables of the compose files themselves, which no process reads."""

NOT_IN_COMPOSE = {
    "FACESEARCH_API_KEY": "keys are made by `facesearch keys create`",
    "FACESEARCH_BACKUP_DIR": "worker and backup share the data directory",
    "FACESEARCH_BROKER_MEMORY_MB": "the broker is a service of its own: VALKEY_MAXMEMORY",
}
"""Settings that a compose file need not offer."""


class ComposeLoader(yaml.SafeLoader):
    """Reads tags that only Compose knows, such as !reset, as null."""


ComposeLoader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "deploy")
    return importlib.import_module("check.settings")


@pytest.fixture
def schema() -> dict[str, Any]:
    return json.loads((CHART / "values.schema.json").read_text())["properties"]


def compose(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), ComposeLoader)  # noqa: S506 -- it is a SafeLoader


def environments(service: dict[str, Any]) -> dict[str, Any]:
    given = service.get("environment") or {}
    return dict(item.partition("=")[::2] for item in given) if isinstance(given, list) else given


def compose_environments(*roles: str) -> Iterator[str]:
    for path in COMPOSE:
        for name, service in (compose(path).get("services") or {}).items():
            if service and name in roles:
                yield from environments(service)


def test_the_charts_schema_has_the_types_of_the_settings(settings: ModuleType, schema: dict[str, Any]) -> None:
    assert schema["config"] == settings.config_schema(), "run: PYTHONPATH=deploy python -m check.settings"


def test_every_setting_can_be_set_in_the_chart(settings: ModuleType, schema: dict[str, Any]) -> None:
    reachable = set(schema["config"]["properties"]) | set(schema["secrets"]["properties"]["values"]["properties"])
    reachable |= set(settings.SET_BY_THE_CHART)
    assert set(Settings.variables()) - set(settings.NOT_IN_A_CLUSTER) <= reachable


def test_settings_that_the_chart_sets_itself_are_in_its_config_map(settings: ModuleType) -> None:
    template = (CHART / "templates" / "config.yaml").read_text()
    for variable in settings.SET_BY_THE_CHART:
        assert f"\n  {variable}: " in template


def test_no_secret_is_a_plain_value_of_the_chart(settings: ModuleType, schema: dict[str, Any]) -> None:
    assert not settings.secrets() & set(schema["config"]["properties"])
    assert settings.secrets() <= set(schema["secrets"]["properties"]["values"]["properties"])


def test_every_variable_that_the_chart_names_is_a_setting() -> None:
    files = itertools.chain(CHART.rglob("*"), CHART.parent.glob("examples/*.yaml"))
    for path in files:
        if path.is_file() and path.suffix in {".yaml", ".tpl", ".txt"}:
            unknown = set(VARIABLE.findall(path.read_text())) - set(Settings.variables())
            assert not unknown, f"{path.relative_to(ROOT)}: {unknown}"


def test_every_variable_that_compose_names_is_a_setting() -> None:
    named = {variable for path in COMPOSE for variable in VARIABLE.findall(path.read_text())}
    assert named - set(Settings.variables()) == set(COMPOSE_VARIABLES)
    assert set(COMPOSE_VARIABLES) == unknown_variables.COMPOSE_VARIABLES, "the product must not warn of these"


def test_every_setting_can_be_set_in_compose(settings: ModuleType) -> None:
    """Either as a variable of a service, or as a secret that it reads from a file."""
    named = set(compose_environments("gateway", "worker"))
    named |= {
        variable
        for path in COMPOSE
        for variable in VARIABLE.findall(path.read_text())
        if variable in settings.secrets()
    }
    assert set(Settings.variables()) - named == set(NOT_IN_COMPOSE)


def test_chart_and_compose_run_the_same_images_of_servers() -> None:
    services = compose(COMPOSE[0])["services"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for name in ("valkey", "images", "qdrant"):
        assert values[name]["image"] == services[name]["image"]


def test_the_chart_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version
