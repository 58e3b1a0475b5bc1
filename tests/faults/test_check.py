"""What a search found is judged by what was acknowledged before it and after it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from faults.book import Expected, Judged
from faults.check import judge

NOTHING = Expected({}, {}, {}, frozenset())
WELL = Judged({}, ())

names = st.from_regex(r"n[0-9]{1,3}", fullmatch=True)


@st.composite
def held(draw: st.DrawFn) -> Expected:
    """Every face has an id and a name of its own."""
    chosen = draw(st.lists(names, unique=True, max_size=12))
    parts: list[dict[str, str]] = [{}, {}, {}, {}]
    for name in chosen:
        draw(st.sampled_from(parts))[f"id of {name}"] = name
    there, gone, open_, asked = parts
    return Expected(there, gone, open_, frozenset(asked.values()))


def found(*parts: dict[str, str]) -> list[dict[str, str]]:
    return [{"person_id": one, "name": name} for part in parts for one, name in part.items()]


@given(held())
def test_what_is_there_is_right_with_or_without_what_is_open(expected: Expected) -> None:
    assert judge(found(expected.there), expected, expected) == WELL
    asked = {f"new id of {name}": name for name in expected.asked}
    assert judge(found(expected.there, expected.open_, asked), expected, expected) == WELL


@given(held(), st.data())
def test_what_is_missing_is_lost(expected: Expected, data: st.DataObject) -> None:
    missing = data.draw(st.sets(st.sampled_from(sorted(expected.there)))) if expected.there else set()
    left = {one: name for one, name in expected.there.items() if one not in missing}
    assert len(judge(found(left), expected, expected).lost) == len(missing)


@given(held())
def test_what_was_deleted_and_is_found_is_lost(expected: Expected) -> None:
    assert len(judge(found(expected.there, expected.gone), expected, expected).lost) == len(expected.gone)


@given(held())
def test_what_is_found_twice_is_doubled(expected: Expected) -> None:
    copies = {f"copy of {one}": name for one, name in expected.there.items()}
    judged = judge(found(expected.there, copies), expected, expected)
    assert len(judged.doubled) == 2 * len(copies), "a name that is there twice, and an id that nobody knows"
    assert len(judge(found(expected.there, expected.there), expected, expected).doubled) == 2 * len(copies)


@given(held())
def test_what_nobody_asked_for_is_doubled(expected: Expected) -> None:
    judged = judge(found(expected.there, {"a stranger": "n1000"}), expected, expected)
    assert (judged.lost, len(judged.doubled)) == ({}, 1)


@given(held())
def test_a_name_that_changed_is_lost(expected: Expected) -> None:
    renamed = {one: f"{name}x" for one, name in expected.there.items()}
    assert len(judge(found(renamed), expected, expected).lost) == len(expected.there)


@given(held())
def test_what_happens_while_a_search_runs_may_be_seen_or_not(after: Expected) -> None:
    added = replace(after, gone={}, open_={})
    before_added = replace(NOTHING, asked=frozenset(after.there.values()) | after.asked)
    assert judge([], before_added, added) == WELL
    assert judge(found(after.there), before_added, added) == WELL
    before_deleted = replace(NOTHING, there=after.gone)
    assert judge([], before_deleted, replace(NOTHING, gone=after.gone)) == WELL
    assert judge(found(after.gone), before_deleted, replace(NOTHING, gone=after.gone)) == WELL
