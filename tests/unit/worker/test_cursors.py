"""A cursor is good for the list that it was made for, and cannot be made up."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.calls import ListPersonsParameters
from worker.cursors import Listing, decode, encode

SECRET = b"secret"
TEXTS = st.none() | st.text(max_size=20)
LISTINGS = st.builds(Listing, st.text("ab.", max_size=8), TEXTS, TEXTS)
POSITIONS = st.tuples(st.integers(0, 2**53 - 1), st.uuids())


@given(LISTINGS, POSITIONS)
def test_a_cursor_is_decoded_to_its_position(listing: Listing, position: tuple[int, uuid.UUID]) -> None:
    cursor = encode(SECRET, listing, position)
    assert decode(SECRET, listing, cursor) == position
    assert re.fullmatch(r"[A-Za-z0-9_-]{56}", cursor)
    assert ListPersonsParameters(after=cursor).after == cursor, "a caller can send it as it is"


@given(LISTINGS, LISTINGS, POSITIONS)
def test_a_cursor_is_wrong_for_every_other_list(listing: Listing, other: Listing, position: tuple) -> None:
    cursor = encode(SECRET, listing, position)
    if listing == other:
        assert decode(SECRET, other, cursor) == position
    else:
        with pytest.raises(ValueError, match="not signed"):
            decode(SECRET, other, cursor)


@given(LISTINGS, POSITIONS, st.binary(min_size=1).filter(lambda secret: secret != SECRET))
def test_a_cursor_of_another_installation_is_wrong(listing: Listing, position: tuple, secret: bytes) -> None:
    with pytest.raises(ValueError, match="not signed"):
        decode(SECRET, listing, encode(secret, listing, position))


@given(LISTINGS, POSITIONS, st.data())
def test_a_cursor_with_any_other_character_is_wrong(listing: Listing, position: tuple, data: st.DataObject) -> None:
    cursor = encode(SECRET, listing, position)
    at = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("ABCXYZabcxyz0189-_").filter(lambda sign: sign != cursor[at]))
    with pytest.raises(ValueError, match="not signed"):
        decode(SECRET, listing, cursor[:at] + other + cursor[at + 1 :])


@given(LISTINGS, st.text(max_size=80))
def test_any_other_text_is_no_cursor(listing: Listing, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- for several reasons
        decode(SECRET, listing, text)
