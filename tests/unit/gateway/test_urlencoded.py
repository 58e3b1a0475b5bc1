"""A form in pieces gives the same parameters as the whole form, and no more of it is held than the call takes."""

import sys
from itertools import pairwise
from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.body.urlencoded import MAX_BACKSLASHED_BYTES, MAX_FIELDS, MAX_NAME_BYTES, Form, Kept
from shared.errors import InvalidRequest

KEPT = {b"img": Kept(20, b"\r\n\t"), b"name": Kept(10), b"long": Kept(100_000)}


def read(*pieces: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return names and values, None for a form that is refused."""
    form = Form(KEPT)
    try:
        for piece in pieces:
            form.feed(piece)
        return form.close()
    except InvalidRequest:
        return None


def split(body: bytes, cuts: list[int]) -> list[bytes]:
    """Split a body at these places."""
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:end] for start, end in pairwise(places)]


WRITTEN = st.lists(
    st.sampled_from([b"img=", b"name=", b"long=", b"x=", b"&", b"%", b"%4", b"%41", b"%2B", b"+", b"=", b"A", b"\\"])
    | st.sampled_from([b"%0D%0A", b"\r\n", b"a" * 400, b"%6dg=", b"\\" * 5000, b"&" * 70, b"i", b"\xff", b"%26"]),
    max_size=30,
).map(b"".join)


@given(WRITTEN, st.lists(st.integers(0), max_size=8))
def test_a_form_in_pieces_is_read_like_the_whole_form(body: bytes, cuts: list[int]) -> None:
    assert read(*split(body, cuts)) == read(body)


@given(WRITTEN)
def test_a_form_in_single_bytes_is_read_like_the_whole_form(body: bytes) -> None:
    assert read(*split(body, list(range(len(body))))) == read(body)


@given(st.dictionaries(st.text(max_size=9), st.binary(max_size=30), max_size=9), st.lists(st.integers(0), max_size=5))
def test_a_form_is_read_as_the_standard_library_reads_it(pairs: dict[str, bytes], cuts: list[int]) -> None:
    body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs.items()).encode()
    form = Form({name.encode(): Kept(30) for name in pairs})
    for piece in split(body, cuts):
        form.feed(piece)
    parsed = parse_qsl(body.decode(), keep_blank_values=True, encoding="latin-1") if pairs else [("", "")]
    assert form.close() == [(name.encode("latin-1"), value.encode("latin-1")) for name, value in parsed]


def test_no_more_of_a_value_is_held_than_its_limit() -> None:
    form = Form(KEPT)
    empty = Form(KEPT).size
    for piece in (b"img=", *[b"%41" * 1000] * 100, b"&x=", *[b"A" * 1000] * 100, b"&name=Ann"):
        form.feed(piece)
        assert form.size <= empty + 3 * sys.getsizeof(bytearray(30))
    assert form.close() == [(b"img", b"A" * 20), (b"x", b""), (b"name", b"Ann")]


def test_values_of_one_name_share_its_limit() -> None:
    assert read(b"img=" + b"A" * 15 + b"&img=" + b"B" * 15 + b"&img=C") == [
        (b"img", b"A" * 15),
        (b"img", b"B" * 5),
        (b"img", b""),
    ]


def test_ignored_bytes_do_not_count() -> None:
    assert read(b"img=" + b"%0D%0A" * 100 + b"QUFB") == [(b"img", b"QUFB")]


def test_values_of_unknown_parameters_are_not_checked() -> None:
    assert read(b"x=%zz%&name=a") == [(b"x", b""), (b"name", b"a")]


@pytest.mark.parametrize(
    "body",
    [
        b"name=%4",
        b"name=%",
        b"name=%4&img=A",
        b"name=%%41",
        b"a" * (3 * MAX_NAME_BYTES + 1),
        b"a" * (MAX_NAME_BYTES + 1) + b"=",
        b"&" * MAX_FIELDS,
        b"long=\\" + b"a" * MAX_BACKSLASHED_BYTES,
    ],
)
def test_malformed_and_excessive_forms_are_refused(body: bytes) -> None:
    assert read(body) is None


def test_a_malformed_form_is_refused_before_its_end() -> None:
    for beginning in (b"name=%zz", b"a" * 1000, b"&" * 100):
        with pytest.raises(InvalidRequest):
            Form(KEPT).feed(beginning)
