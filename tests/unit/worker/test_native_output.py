"""Native output goes to the log and is bounded; output of Python itself and of crashes stays on stderr."""

import json

from hypothesis import given
from hypothesis import strategies as st

from processes import python
from worker.native_output import MAX_LINE_BYTES, SHOWN_LINES, LineBuffer

SCENE = """
import ctypes, os, sys, time
from shared.observability import logs
from worker import native_output

native_output.redirect_to_log()
logs.configure("debug", "json", "worker")
libc = ctypes.CDLL(None)

def say(text):
    libc.write(2, text, len(text))
"""


def logged(stderr: str) -> list[dict]:
    return [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]


def test_output_of_libpng_is_only_in_the_log() -> None:
    ended = python("-c", SCENE + "say(b'libpng warning: eXIf: duplicate\\n')")
    (line,) = logged(ended.stderr)
    assert (line["event"], line["level"], line["lines"]) == ("native_output", "info", 1)
    assert line["shown"] == ["libpng warning: eXIf: duplicate"]
    assert len(ended.stderr.splitlines()) == 1
    assert ended.returncode == 0


def test_a_flood_of_lines_is_logged_in_a_few_lines() -> None:
    ended = python("-c", SCENE + "for n in range(5_000): say(b'libpng warning: %d\\n' % (n % 7)); time.sleep(0)")
    lines = logged(ended.stderr)
    assert sum(line["lines"] for line in lines) == 5_000
    assert all(len(line["shown"]) <= SHOWN_LINES for line in lines)
    assert len(lines) == len(ended.stderr.splitlines()) < 100


def test_unknown_lines_are_counted_and_not_shown() -> None:
    output = "say(b'thread panicked: called unwrap() on Err(Rumpelstilzchen)\\nlibpng error: CRC error\\n')"
    ended = python("-c", SCENE + output)
    (line,) = logged(ended.stderr)
    assert (line["level"], line["lines"], line["unknown"], line["shown"]) == (
        "warning",
        2,
        1,
        ["libpng error: CRC error"],
    )
    assert "Rumpelstilzchen" not in ended.stderr


def test_a_full_pipe_does_not_block_even_a_writer_with_the_interpreter_lock() -> None:
    locked = "ctypes.PyDLL(None).write(2, b'x' * 10_000_000, 10_000_000); print('whole')"
    ended = python("-c", SCENE + locked)
    assert (ended.returncode, ended.stdout) == (0, "whole\n")


def test_a_line_without_an_end_is_bounded() -> None:
    ended = python("-c", SCENE + "for _ in range(300): say(b'x' * 60_000); time.sleep(0.001)")
    assert ended.returncode == 0
    assert [line["lines"] for line in logged(ended.stderr)] in ([], [1])


def test_output_of_python_stays_on_stderr() -> None:
    ended = python("-c", SCENE + "print('said', file=sys.stderr); raise SystemExit('why')")
    assert ended.stderr == "said\nwhy\n"
    assert "ZeroDivisionError" in python("-c", SCENE + "1 / 0").stderr


def test_stacks_of_a_crash_are_on_stderr() -> None:
    for crash in ("os.abort()", "ctypes.string_at(0)"):
        ended = python("-c", SCENE + f"def crashing(): {crash}\ncrashing()")
        assert ended.returncode < 0
        assert "Fatal Python error: " in ended.stderr, crash
        assert "in crashing" in ended.stderr, crash


def test_the_last_message_of_the_interpreter_is_on_stderr() -> None:
    output = "say(b'libpng error: CRC error\\n'); ctypes.pythonapi.Py_FatalError(b'what is wrong')"
    ended = python("-c", SCENE + f"def crashing(): {output}\ncrashing()")
    assert ended.returncode < 0
    assert "Fatal Python error: " in ended.stderr
    assert "what is wrong" in ended.stderr
    assert "in crashing" in ended.stderr


def test_stacks_of_a_stuck_worker_are_on_stderr() -> None:
    ended = python("-c", SCENE + "from worker.delivery.time_limit import end\ndef stuck(): end()\nstuck()")
    assert ended.returncode == 1
    assert "in stuck" in ended.stderr


@given(st.lists(st.binary(max_size=3 * MAX_LINE_BYTES)))
def test_lines_do_not_depend_on_the_pieces_of_the_stream(pieces: list[bytes]) -> None:
    lines = LineBuffer()
    found = [line[:MAX_LINE_BYTES] for piece in [*pieces, b"\n"] for line in lines.add(piece)]
    assert found == [line[:MAX_LINE_BYTES] for line in b"".join(pieces).split(b"\n") if line]
