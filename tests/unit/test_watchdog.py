"""A test that hangs where pytest-timeout has no effect ends its process and is named."""

from pathlib import Path

import pytest

from processes import python

CONFTEST = """
from watchdog import Watchdog

def pytest_configure(config):
    config.pluginmanager.register(Watchdog(grace_s=1))
"""

HUNG_BODY = """
import threading
import pytest

@pytest.mark.timeout(1)
def test_hung():
    try:
        threading.Event().wait(300)
    finally:
        threading.Event().wait(300)
"""

HUNG_TEARDOWN = """
import threading
import pytest

@pytest.fixture
def server():
    yield
    threading.Event().wait(300)

@pytest.mark.timeout(1)
def test_hung(server):
    threading.Event().wait(300)
"""


def run(folder: Path, test: str) -> tuple[int, str]:
    """Run that test in a process of its own. Returns its exit status and what it said."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\ntimeout = 100\n")
    (folder / "test_it.py").write_text(test)
    tests = str(Path(__file__).parents[1])
    quickly = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_timeout"}
    ended = python("-m", "pytest", "-p", "no:cacheprovider", str(folder), PYTHONPATH=tests, **quickly)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("test", [HUNG_BODY, HUNG_TEARDOWN], ids=["body", "teardown"])
def test_a_test_that_outlives_its_interruption_ends_its_process(tmp_path: Path, test: str) -> None:
    status, said = run(tmp_path, test)
    assert status == 1
    assert "Timeout (0:00:02)!" in said
    assert 'test_it.py", line' in said
