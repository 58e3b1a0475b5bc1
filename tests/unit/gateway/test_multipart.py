"""multipart/form-data: the same parts that another parser finds, each with the name in its own headers."""

import string

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder

from gateway.body import multipart
from gateway.body.charsets import lookup
from gateway.body.header_values import parse
from gateway.body.multipart import MAX_HEADERS, MAX_PARTS
from shared.errors import InvalidRequest

Expected = tuple[str, bytes, bool]
"""Name, value, whether it has a filename."""


def part(disposition: str, value: bytes = b"x", *more: str, boundary: bytes = b"b") -> bytes:
    lines = (f"Content-Disposition: {disposition}", *more)
    return b"--" + boundary + b"\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + value + b"\r\n"


def body(*parts: bytes, boundary: bytes = b"b") -> bytes:
    return b"".join(parts) + b"--" + boundary + b"--\r\n"


def read(data: bytes, boundary: bytes = b"b") -> list[Expected]:
    return [(found.name, found.value, found.has_filename) for found in multipart.parts(data, boundary)]


def read_by_werkzeug(data: bytes, boundary: bytes) -> list[Expected]:
    decoder = MultipartDecoder(boundary)
    decoder.receive_data(data)
    decoder.receive_data(None)
    found: list[Expected] = []
    while not isinstance(event := decoder.next_event(), Epilogue):
        if isinstance(event, Field | File):
            found.append((event.name, b"", isinstance(event, File)))
        elif isinstance(event, Data):
            name, value, is_file = found.pop()
            found.append((name, value + event.data, is_file))
    return found


# Without %22 and the like, which the other parser unescapes; no known name has any.
PRINTABLE = string.printable.translate(dict.fromkeys(map(ord, "\r\n%")))
WORDS = st.text(PRINTABLE, max_size=12) | st.sampled_from(
    ["img", 'a"b', "a\\b", "; name=img", '"; name="img', "x; filename=y", "张伟", "'", "a;b", "a=b"]
)
VALUES = st.binary(max_size=40) | st.sampled_from(
    [b"\r\n", b"\r\n--", b"--", b"\n--b--\n", b"Content-Disposition: form-data; name=x\r\n\r\n", b"\r\n\r\n"]
)


@st.composite
def forms(draw: st.DrawFn) -> tuple[bytes, bytes, list[Expected]]:
    """A well-formed body as clients may write it, its boundary, and its parts."""
    boundary = draw(st.sampled_from([b"b", b"----WebKitFormBoundary7MA4YWxk", b"'()+_,-./:=?", b"a b"]))
    fields = draw(st.lists(st.tuples(WORDS, VALUES, st.none() | WORDS), min_size=1, max_size=4))
    data = draw(st.sampled_from([b"", b"\r\n", b"This is a message in parts.\r\n", b"a\r\n\r\nb\r\n"]))
    for name, value, filename in fields:
        assume(b"--" + boundary not in b"\r\n" + value)
        parameters = [f'name="{quoted(name)}"']
        if filename is not None:
            parameters.insert(draw(st.integers(0, 1)), f'filename="{quoted(filename)}"')
        lines = ["Content-Disposition: form-data; " + draw(st.sampled_from(["; ", ";", " ; "])).join(parameters)]
        if draw(st.booleans()):
            lines.insert(draw(st.integers(0, 1)), "content-type: text/plain; charset=utf-8")
        padding = draw(st.sampled_from([b"", b"", b" ", b"\t  "]))
        head = "\r\n".join(lines).encode()
        data += b"--" + boundary + padding + b"\r\n" + head + b"\r\n\r\n" + value + b"\r\n"
    data += b"--" + boundary + b"--" + draw(st.sampled_from([b"", b"\r\n", b"  \r\n", b"\r\nepilogue\r\n--x"]))
    return data, boundary, [(name, value, filename is not None) for name, value, filename in fields]


def quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


@settings(max_examples=300)
@given(forms())
def test_a_form_is_read_as_it_was_written_and_as_another_parser_reads_it(
    form: tuple[bytes, bytes, list[Expected]],
) -> None:
    data, boundary, expected = form
    assert read(data, boundary) == expected
    assert read_by_werkzeug(data, boundary) == expected


class TestNames:
    @pytest.mark.parametrize(
        ("disposition", "name", "is_file"),
        [
            ('form-data; filename="a; name=img"; name="facedb"', "facedb", True),
            ('form-data; filename="x\\"; name=\\"img"; name="facedb"', "facedb", True),
            ("form-data; filename=;name=facedb", "facedb", True),
            ('form-data; name="img"; filename="a\\"', "img", True),  # how a browser writes the file `a\\`
            ("FORM-DATA;name=img", "img", False),
            ("form-data;\tname=img", "img", False),
            ("form-data; name=img; filename*=UTF-8''a", "img", True),
            ('form-data; name="a filename=b"', "a filename=b", False),
        ],
    )
    def test_names_are_read_from_their_own_parameter(self, disposition: str, name: str, is_file: bool) -> None:
        assert read(body(part(disposition))) == [(name, b"x", is_file)]

    def test_a_filename_in_the_charset_of_the_body(self) -> None:
        disposition = b'--b\r\nContent-Disposition: form-data; filename="\x95\\"; name="img"\r\n\r\nx\r\n--b--'
        (found,) = multipart.parts(disposition, b"b", lookup("shift_jis", ""))
        assert (found.name, found.has_filename) == ("img", True)

    @pytest.mark.parametrize(
        "disposition", ["form-data", 'form-data; filename="a"', "attachment; name=img", "x; name=img", "; name=img"]
    )
    def test_a_part_without_a_name_is_refused(self, disposition: str) -> None:
        with pytest.raises(InvalidRequest, match="must be a named field"):
            read(body(part(disposition)))

    @pytest.mark.parametrize(
        "disposition", ['form-data; name="img', 'form-data; name="a"b', 'form-data; filename="a\\"; name="img"']
    )
    def test_an_ambiguous_disposition_is_refused(self, disposition: str) -> None:
        with pytest.raises(InvalidRequest, match="Content-Disposition is malformed"):
            read(body(part(disposition)))

    def test_a_repeated_header_is_refused(self) -> None:
        with pytest.raises(InvalidRequest, match="two headers Content-Disposition"):
            read(body(part("form-data; name=a", b"", "content-disposition: form-data; name=b")))


class TestRefused:
    def test_more_parts_than_the_limit(self) -> None:
        assert len(read(body(*[part("form-data; name=a")] * MAX_PARTS))) == MAX_PARTS
        with pytest.raises(InvalidRequest, match="more than 64 parts"):
            read(body(*[part("form-data; name=a")] * (MAX_PARTS + 1)))

    @pytest.mark.parametrize(
        "more",
        [
            ["X: " + "a" * 8192],
            ["X: " + "a" * 4000, "Y: " + "a" * 4200],
            [f"X-{number}: a" for number in range(MAX_HEADERS)],
        ],
    )
    def test_more_or_longer_headers_than_the_limit(self, more: list[str]) -> None:
        with pytest.raises(InvalidRequest, match="headers of more than 8192 bytes, or too many"):
            read(body(part("form-data; name=a", b"", *more)))

    @pytest.mark.parametrize(
        "data",
        [
            b"--bX\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--b--",
            part("form-data; name=a", b"\r\n--bX") + b"--b--",
            body(part("form-data; name=a", b"", "no colon")),
            body(part("form-data; name=a", b"", " folded: x")),
            body(b"--b\r\nContent-Disposition: form-data; name=a\n\nx\r\n"),
            b"--b" + b" " * 100 + b"X\r\n--b--",
        ],
    )
    def test_a_malformed_body(self, data: bytes) -> None:
        with pytest.raises(InvalidRequest, match="multipart body is malformed"):
            read(data)

    @pytest.mark.parametrize("data", [b"", b"x", b"--", b"--c\r\n\r\n--c--"])
    def test_a_body_without_its_boundary(self, data: bytes) -> None:
        with pytest.raises(InvalidRequest, match="nowhere in the body"):
            read(data)

    @pytest.mark.parametrize(
        "cut", [b"--b", b"--b\r\n", part("form-data; name=a"), body(part("form-data; name=a"))[:-4]]
    )
    def test_a_body_without_its_final_boundary(self, cut: bytes) -> None:
        with pytest.raises(InvalidRequest, match="without its final boundary"):
            read(cut)

    def test_a_form_without_parts_is_empty(self) -> None:
        assert read(b"--b--\r\n") == []


class TestBoundary:
    @pytest.mark.parametrize("text", ["b", '"b c"', "a=b", "a" * 70])
    def test_a_boundary_is_taken_literally(self, text: str) -> None:
        value = parse(f"multipart/form-data; boundary={text}", "Content-Type")
        assert multipart.boundary(value) == text.strip('"').encode()


@given(
    st.lists(
        st.sampled_from(
            [
                b"--b",
                b"\r\n",
                b"\r\n\r\n",
                b"--",
                b" ",
                b'form-data; name="a"',
                b"Content-Disposition: ",
                b"x",
                b"\n",
                b"\0",
            ]
        )
    ).map(b"".join)
)
def test_the_size_of_a_part_is_within_that_of_any_body(data: bytes) -> None:
    assert 0 <= multipart.bytes_of(frozenset(["a"]), data, b"b") <= len(data)
