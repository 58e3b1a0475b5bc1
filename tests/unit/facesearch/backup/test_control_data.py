"""A line of control data is read back as it was written, or refused."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facesearch.backup import control_data
from facesearch.backup.control_data import Entry
from shared.errors import OperatorError

TEXT = st.binary(max_size=12).map(lambda value: value.decode(errors="surrogateescape"))
"""Any bytes, which Redis may hold."""

SCORES = st.floats(allow_nan=False)

ENTRIES = st.one_of(
    st.builds(Entry, TEXT, st.just("string"), TEXT, st.none() | st.integers(0)),
    st.builds(Entry, TEXT, st.just("set"), st.lists(TEXT, min_size=1, unique=True), st.none() | st.integers(0)),
    st.builds(Entry, TEXT, st.just("hash"), st.dictionaries(TEXT, TEXT, min_size=1), st.none() | st.integers(0)),
    st.builds(Entry, TEXT, st.just("zset"), st.dictionaries(TEXT, SCORES, min_size=1), st.none() | st.integers(0)),
)


@given(entry=ENTRIES)
def test_an_entry_is_read_back_from_its_line(entry: Entry) -> None:
    assert Entry.parse(entry.line()) == entry
    assert entry.line().isascii()
    assert entry.line().count("\n") == 1


@given(entry=ENTRIES, cut=st.integers(1))
def test_a_line_that_is_cut_short_is_refused(entry: Entry, cut: int) -> None:
    line = entry.line()
    with pytest.raises(ValueError, match="cut short"):
        Entry.parse(line[: cut % len(line)])


WHOLE = {"key": "fs:x", "type": "string", "value": "v", "expires": None}


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "list"},
        {"type": ["string"]},
        {"type": "set"},
        {"type": "hash"},
        {"type": "zset", "value": {"a": "1"}},
        {"type": "zset", "value": {"a": True}},
        {"type": "hash", "value": {"a": 1}},
        {"type": "hash", "value": {}},
        {"type": "set", "value": []},
        {"type": "set", "value": [1]},
        {"value": None},
        {"key": 1},
        {"expires": "soon"},
        {"expires": 1.5},
        {"expires": True},
        {"more": 1},
    ],
)
def test_a_malformed_line_is_refused_with_its_number(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "control.jsonl"
    path.write_text(json.dumps(WHOLE) + "\n" + json.dumps({**WHOLE, **changes}) + "\n")
    reading = control_data.read(path)
    assert next(reading).value == "v"
    with pytest.raises(OperatorError, match=r"control\.jsonl is damaged: line 2 "):
        next(reading)


@pytest.mark.parametrize("text", ["[]\n", "{}\n", "1\n", "\n", "{\n", "\udcff\n"])
def test_a_line_that_is_no_entry_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "control.jsonl"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(OperatorError, match="damaged"):
        list(control_data.read(path))


def test_infinite_scores_are_read_back() -> None:
    entry = Entry("fs:dropped", "zset", {"a": math.inf})
    assert Entry.parse(entry.line()) == entry
