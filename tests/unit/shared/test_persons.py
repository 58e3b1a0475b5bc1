"""Metadata: what is taken as a JSON object, and that nothing of it is lost."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import Status
from shared.jobs import Outcome
from shared.persons import MAX_METADATA_BYTES, MAX_METADATA_LEVELS, compact_metadata

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)


def nested(levels: int) -> str:
    """Return an object with that many levels."""
    return '{"a":' * levels + "1" + "}" * levels


@given(OBJECTS, st.booleans(), st.sampled_from([None, 2]))
def test_an_object_keeps_its_keys_their_order_and_its_values(
    metadata: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    compact = compact_metadata(json.dumps(metadata, ensure_ascii=ascii_only, indent=indent))
    assert list(json.loads(compact).items()) == list(metadata.items())
    assert compact_metadata(compact) == compact


@given(OBJECTS)
def test_it_reaches_the_caller_as_it_was_sent(metadata: dict[str, Any]) -> None:
    person = {"person_id": "x", "name": "", "added": None, "metadata": metadata, "faces": 1}
    outcome = Outcome(status=Status.OK, message=person)
    sent = Outcome.model_validate_json(outcome.model_dump_json())
    assert json.dumps(sent.message) == json.dumps(person)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "[]", '"a"', "null", "{", '{"a":1,}', "{'a':1}", '{"a":1} {}', "\ufeff{}"),
        *('{"a":NaN}', '{"a":Infinity}', '{"a":1e999}', '{"a":[-1e999]}', '{"a":1,"a":1}', '{"b":{"a":1,"a":2}}'),
        *(r'{"a":"\ud800"}', '{"a":"\ud800"}', r'{"\udc00":1}', '{"a":"\n"}', '{"a":' + "9" * 5000 + "}"),
        *(nested(MAX_METADATA_LEVELS + 1), nested(10_000), '{"a":' + "[" * 9000, '{"a":"' + "x" * MAX_METADATA_BYTES),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- for several reasons
        compact_metadata(text)


def test_the_largest_and_the_deepest_are_taken() -> None:
    for filler in ("x", "é", "山"):
        size = len(filler.encode())
        count, rest = divmod(MAX_METADATA_BYTES - len('{"a":""}'), size)
        largest = '{"a":"' + filler * count + "x" * rest + '"}'
        assert len(compact_metadata(largest).encode()) == MAX_METADATA_BYTES
        with pytest.raises(ValueError, match="too large"):
            compact_metadata(largest.replace('"}', 'x"}'))
    assert compact_metadata(nested(MAX_METADATA_LEVELS)) == nested(MAX_METADATA_LEVELS)
    spaced = '{"a":' + " " * 2 * MAX_METADATA_BYTES + "1}"
    assert compact_metadata(spaced) == '{"a":1}', "spaces do not count"
