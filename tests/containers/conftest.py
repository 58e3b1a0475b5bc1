"""Tests with real containers. `make containers` makes the images and runs them; elsewhere they are skipped with the
reason.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from figures import Figures
from stack import Stack, compose_command, engine_answers, stack
from stand_ins import label, project_images

FIGURES = pytest.StashKey[Figures]()


def why_not() -> str | None:
    """Return why tests with containers cannot run here, None if they can."""
    if not os.environ.get("CONTAINERS"):
        return "takes minutes: run `make containers`"
    if not engine_answers():
        return "no Docker engine answers"
    try:
        compose_command()
    except LookupError as error:
        return str(error)
    missing = [name for name in project_images() if label(name) is None]
    return f"no image {missing[0]}: run `make containers`" if missing else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    reason = why_not() if ours else None
    for item in ours:
        item.add_marker(pytest.mark.timeout(600))
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, Figures())
    if figures.rows or figures.facts:
        terminalreporter.section("containers")
        for line in figures.table():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    return pytestconfig.stash[FIGURES]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Stack]:
    """The unmodified compose file, up with one container of each service."""
    with stack("facesearch-test") as made:
        made.up()
        made.wait_until_ready()
        yield made


@pytest.fixture(scope="module")
def key(cluster: Stack) -> str:
    return cluster.new_key()
