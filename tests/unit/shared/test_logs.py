"""Logs say what happened and where, and hold no personal data."""

import json
import subprocess
import sys

import pytest

CRASH = """
import logging, structlog, threading
from shared.observability import logs

logs.configure("info", {style!r}, "worker")

def crash(name):
    image = b"IMAGE-" + bytes(3)
    key = "KEY-" + name
    raise ZeroDivisionError

def work():
    try:
        crash("NAME-" + str(len("x")))
    except ZeroDivisionError:
        structlog.stdlib.get_logger("a").exception("job_crashed", job_id="j1")
        logging.getLogger("celery.worker").exception("theirs")
    logging.getLogger("celery.app.trace").info("result: NAME-1")

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def logged(style: str) -> str:
    """Return the log of a process of its own, since logging is configured for a whole process."""
    return subprocess.run(
        [sys.executable, "-c", CRASH.format(style=style)], capture_output=True, text=True, check=True
    ).stderr


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_shows_lines_and_no_variables(style: str) -> None:
    log = logged(style)
    assert "ZeroDivisionError" in log
    assert "in crash" in log or '"name": "crash"' in log
    for private in ("NAME-1", "KEY-NAME", "IMAGE-\\x00"):
        assert private not in log


def test_every_json_line_names_its_process() -> None:
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert [line["event"] for line in lines] == ["job_crashed", "theirs"]
    assert {line["process"] for line in lines} == {"worker"}
    assert lines[0]["job_id"] == "j1"
