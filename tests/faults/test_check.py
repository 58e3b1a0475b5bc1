"""The result of a search is judged by what was acknowledged before it and after it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from faults.book import Expected, ExpectedFaces, Judged
from faults.check import judge, judge_faces

NOTHING = Expected({}, {}, {}, frozenset())
WELL = Judged({}, ())

names = st.from_regex(r"n[0-9]{1,3}", fullmatch=True)


@st.composite
def expectations(draw: st.DrawFn) -> Expected:
    """Every face has an id and a name of its own."""
    chosen = draw(st.lists(names, unique=True, max_size=12))
    parts: list[dict[str, str]] = [{}, {}, {}, {}]
    for name in chosen:
        draw(st.sampled_from(parts))[f"id of {name}"] = name
    there, gone, open_, asked = parts
    return Expected(there, gone, open_, frozenset(asked.values()))


def found(*parts: dict[str, str]) -> list[dict[str, str]]:
    return [{"person_id": one, "name": name} for part in parts for one, name in part.items()]


@given(expectations())
def test_requests_without_an_outcome_may_be_done_or_not(expected: Expected) -> None:
    assert judge(found(expected.there), expected, expected) == WELL
    asked = {f"new id of {name}": name for name in expected.asked}
    assert judge(found(expected.there, expected.open_, asked), expected, expected) == WELL


@given(expectations(), st.data())
def test_a_missing_face_is_lost(expected: Expected, data: st.DataObject) -> None:
    missing = data.draw(st.sets(st.sampled_from(sorted(expected.there)))) if expected.there else set()
    left = {one: name for one, name in expected.there.items() if one not in missing}
    assert len(judge(found(left), expected, expected).lost) == len(missing)


@given(expectations())
def test_a_deleted_face_that_is_found_is_a_lost_deletion(expected: Expected) -> None:
    assert len(judge(found(expected.there, expected.gone), expected, expected).lost) == len(expected.gone)


@given(expectations())
def test_a_face_that_is_found_twice_is_doubled(expected: Expected) -> None:
    copies = {f"copy of {one}": name for one, name in expected.there.items()}
    judged = judge(found(expected.there, copies), expected, expected)
    assert len(judged.doubled) == 2 * len(copies), "a name that is there twice, and an unknown id"
    assert len(judge(found(expected.there, expected.there), expected, expected).doubled) == 2 * len(copies)


@given(expectations())
def test_a_face_that_was_never_added_counts_as_doubled(expected: Expected) -> None:
    judged = judge(found(expected.there, {"unknown id": "n1000"}), expected, expected)
    assert (judged.lost, len(judged.doubled)) == ({}, 1)


@given(expectations())
def test_a_face_with_another_name_is_lost(expected: Expected) -> None:
    renamed = {one: f"{name}x" for one, name in expected.there.items()}
    assert len(judge(found(renamed), expected, expected).lost) == len(expected.there)


@given(expectations())
def test_a_change_during_a_search_may_be_seen_or_not(after: Expected) -> None:
    added = replace(after, gone={}, open_={})
    before_added = replace(NOTHING, asked=frozenset(after.there.values()) | after.asked)
    assert judge([], before_added, added) == WELL
    assert judge(found(after.there), before_added, added) == WELL
    before_deleted = replace(NOTHING, there=after.gone)
    assert judge([], before_deleted, replace(NOTHING, gone=after.gone)) == WELL
    assert judge(found(after.gone), before_deleted, replace(NOTHING, gone=after.gone)) == WELL


FACES = st.lists(st.from_regex(r"f[0-9]{1,2}", fullmatch=True), unique=True, max_size=9)


@st.composite
def faces(draw: st.DrawFn) -> ExpectedFaces:
    parts: list[list[str]] = [[], [], []]
    for face in draw(FACES):
        draw(st.sampled_from(parts)).append(face)
    return ExpectedFaces(*map(frozenset, parts), unsaid=draw(st.integers(0, 2)))


@given(faces(), st.data())
def test_the_faces_of_a_person_are_as_they_were_acknowledged(expected: ExpectedFaces, data: st.DataObject) -> None:
    open_ = data.draw(st.sets(st.sampled_from(sorted(expected.open_)))) if expected.open_ else set()
    new = [f"new{number}" for number in range(expected.unsaid)]
    assert judge_faces([*expected.there, *open_, *new], expected) == WELL
    assert len(judge_faces([*open_], expected).lost) == len(expected.there)
    assert len(judge_faces([*expected.there, *expected.gone], expected).lost) == len(expected.gone)
    assert len(judge_faces([*expected.there, *new, "one more"], expected).doubled) == 1
    assert len(judge_faces([*expected.there, *expected.there], expected).doubled) == len(expected.there)
