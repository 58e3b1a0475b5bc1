"""Attributes of persons in the payloads of an engine's points."""

import math
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.store import attributes
from worker.store.base import MAX_ADDED, Changes, Person, Point, StoreError

ID = uuid.UUID(int=1)
AXIS = np.eye(4, dtype=np.float32)[0]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
METADATA = st.none() | st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


@given(st.text(max_size=5), st.none() | st.integers(1, MAX_ADDED), st.none() | st.text(max_size=5), METADATA)
def test_a_person_is_read_back_from_its_payload(
    name: str, added: int | None, external_id: str | None, metadata: dict[str, Any] | None
) -> None:
    point = Point(ID, name, AXIS, added, external_id, metadata)
    read = attributes.person_of("db", ID, attributes.payload_of(point))
    assert read == point.person
    assert list(read.metadata or {}) == list(metadata or {})


def test_a_payload_has_no_more_than_a_person_has() -> None:
    assert attributes.payload_of(Point(ID, "Ada", AXIS)) == {"name": "Ada"}, "as an earlier release wrote it"


@pytest.mark.parametrize(
    ("changes", "payload"),
    [
        ({}, {}),
        ({"name": ""}, {"name": ""}),
        ({"external_id": None, "metadata": None}, {"external_id": None, "metadata": None}),
        ({"metadata": {"b": 1, "a": 2**70}}, {"metadata": '{"b":1,"a":1180591620717411303424}'}),
    ],
)
def test_a_change_sets_what_it_names_and_null_for_what_it_removes(changes: Changes, payload: dict[str, Any]) -> None:
    assert attributes.payload_of_changes(changes) == payload


def test_null_is_the_same_as_absent() -> None:
    nulls = {"name": "Ada", "added": None, "external_id": None, "metadata": None}
    assert attributes.person_of("db", ID, nulls) == Person(ID, "Ada")


def test_a_number_that_json_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        attributes.payload_of_changes({"metadata": {"a": math.nan}})


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ({"name": None}, "has no name"),
        ({"name": 7}, "has no name"),
        ({"added": 0}, "has no valid time of adding"),
        ({"added": "1"}, "has no valid time of adding"),
        ({"added": MAX_ADDED + 1}, "has no valid time of adding"),
        ({"external_id": ["x"]}, "has no valid external_id"),
        ({"metadata": {"a": 1}}, "has no valid metadata"),
        ({"metadata": "[]"}, "has no valid metadata"),
        ({"metadata": "{"}, "has no valid metadata"),
    ],
)
def test_a_damaged_payload_is_an_error_that_names_the_person_alone(damage: dict[str, Any], why: str) -> None:
    with pytest.raises(StoreError) as error:
        attributes.person_of("db", ID, {"name": "Ada", "external_id": "customer", **damage})
    assert str(error.value) == f"db: face {ID} {why}"
