"""Variables that look like settings and are none, and which commands warn of them."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from facesearch.cli.main import main
from shared.settings import Settings
from shared.unknown_variables import UnknownVariable, unknown_variables

PLAIN = {name: None for name in os.environ if name.upper().startswith("FACESEARCH_")}


@pytest.fixture(autouse=True)
def no_other_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PLAIN:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("FACESEARCH_DEADLIN_S", "FACESEARCH_DEADLINE_S"),
        ("FACESEARCH_DEADLINE", "FACESEARCH_DEADLINE_S"),
        ("FACESEARCH_RATES", "FACESEARCH_RATE"),
        ("FACESEARCH_MODEL_DIR", "FACESEARCH_MODELS_DIR"),
        ("facesearch_wroker_threads", "FACESEARCH_WORKER_THREADS"),
        # Settings without the prefix.
        ("FACESEARCH_REDIS_URL", "REDIS_URL"),
        ("FACESEARCH_QDRANT_API_KEY", "QDRANT_API_KEY"),
        ("FACESEARCH_COLOUR_OF_THE_SKY", None),
    ],
)
def test_the_nearest_setting_is_suggested(monkeypatch: pytest.MonkeyPatch, name: str, nearest: str | None) -> None:
    monkeypatch.setenv(name, "hunter2")
    assert unknown_variables() == [UnknownVariable(name, nearest)]


@pytest.mark.parametrize("name", [*Settings.variables(), "facesearch_port", "FACESEARCH_VERSION", "SEARCH_DEADLIN_S"])
def test_settings_and_variables_of_others_are_not_reported(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert unknown_variables() == []


def test_an_empty_variable_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESEARCH_DEADLIN_S", "")
    assert unknown_variables() == []


def test_files_of_secrets_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.settings.SECRETS_DIR", tmp_path)
    for name in ("FACESEARCH_ADMIN_KEYS", "FACESEARCH_ADMIN_KEY", "REDIS_URL", "valkey.conf"):
        (tmp_path / name).write_text("hunter2")
    assert unknown_variables() == [UnknownVariable("FACESEARCH_ADMIN_KEYS", "FACESEARCH_ADMIN_KEY")]


def test_up_warns_once_and_removes_the_variable_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inherited = []

    async def run(*_: object, **__: object) -> None:
        inherited.extend(name for name in os.environ if name.startswith("FACESEARCH_"))

    monkeypatch.setattr("facesearch.embedded.up.up", run)
    monkeypatch.setattr("worker.models.selection.pull", lambda *_: None)
    given = {"FACESEARCH_DEADLIN_S": "hunter2", "FACESEARCH_RATE": "5"}
    result = CliRunner().invoke(main, ["up"], env=given)
    assert result.stderr.splitlines() == [
        "warning: FACESEARCH_DEADLIN_S is no setting and changes nothing; did you mean FACESEARCH_DEADLINE_S?"
    ]
    assert inherited == ["FACESEARCH_RATE"]


def test_other_commands_do_not_warn() -> None:
    result = CliRunner().invoke(main, ["models", "list"], env={"FACESEARCH_DEADLIN_S": "hunter2"})
    assert "DEADLIN_S" not in result.output
