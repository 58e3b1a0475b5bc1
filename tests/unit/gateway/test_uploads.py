"""Bodies of every content type become parameters, or are refused with a sentence."""

import base64
import json
import re
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote_plus, unquote_to_bytes, urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.body import header_values, multipart
from gateway.body.uploads import (
    MAX_OTHERS_BYTES,
    Parameters,
    max_body_bytes,
    parse_json,
    parse_multipart,
)
from gateway.body.urlencoded import unquote
from hostile import Hostile
from hostile_bodies import BODIES, FORM
from hostile_runs import answer_to_body, parse
from shared.contract import MAX_IMG_CHARACTERS
from shared.errors import BodyUnreadable, ContractError, ImageTooLarge, InvalidRequest, Unavailable

PART = b'\r\n--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'


def parse_form(body: bytes) -> Parameters:
    """Parse a form of a call that takes every image parameter."""
    return parse(body, FORM, images=("img", "img1", "img2"))


class TestForm:
    @given(
        st.binary(max_size=500),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50),
        st.booleans(),
    )
    def test_an_encoded_form_is_read_back(self, image: bytes, name: str, strict: bool) -> None:
        encoded = base64.b64encode(image)
        quoted = quote_plus(encoded) if strict else encoded.decode()
        given_ = parse_form(f"img={quoted}&{urlencode({'name': name})}&facedb=a".encode())
        assert set(given_.images) == {"img"}
        assert given_.images["img"].replace(b" ", b"+") == encoded  # an unescaped + arrives as a space
        assert given_.text == {"name": name, "facedb": "a"}

    def test_escapes_may_be_in_either_case(self) -> None:
        assert parse_form(b"img=%2B%2b%2F%2f%3D%3d%41").images["img"] == b"++//==A"

    def test_images_are_read_by_their_names(self) -> None:
        assert parse_form(b"img1=YQ&img2=Yg&img=Yw").images == {"img1": b"YQ", "img2": b"Yg", "img": b"Yw"}

    def test_a_percent_sign_is_decoded_once(self) -> None:
        assert parse_form(b"img=%252B").images["img"] == b"%2B"

    def test_a_parameter_without_an_equals_sign_is_empty(self) -> None:
        assert parse_form(b"name&img").text == {"name": ""}

    def test_unknown_parameters_are_ignored(self) -> None:
        assert parse_form(b"colour=red&name=x&colour=blue") == Parameters(text={"name": "x"})

    @pytest.mark.parametrize("body", [b"img=a&img=b", b"img2=a&img2=a", b"name=a&name=a", b"facedb=&facedb="])
    def test_a_repeated_parameter_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidRequest, match="is given twice"):
            parse_form(body)

    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            (b"name=%ff", "name is not UTF-8"),
            (b"%ff=1", "name is not UTF-8"),
            (b"name=a%00b", "name has a NUL"),
            (b"name=a%0", "name has a % without"),
            (b"facedb=%zz", "facedb has a % without"),
            (b"a" * 129 + b"=1", "longer than 128 bytes"),
            (b"%41" * 129 + b"=1", "longer than 128 bytes"),
            (b"&" * 64, "more than 64 parameters"),
        ],
    )
    def test_a_malformed_form_is_refused_with_a_sentence(self, body: bytes, sentence: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            parse_form(body)
        assert sentence in refused.value.message

    @given(st.binary(max_size=60) | st.text("%4aA0z=+&\\\r\n ", max_size=12).map(str.encode))
    def test_percent_decoding_agrees_with_the_standard_library(self, value: bytes) -> None:
        whole = re.fullmatch(rb"(?s:[^%]|%[0-9A-Fa-f]{2})*", value)
        try:
            assert unquote(value, "x") == unquote_to_bytes(value.replace(b"+", b" "))
        except InvalidRequest:
            assert whole is None
        else:
            assert whole is not None


class TestCharsets:
    NAME = "张伟"

    @pytest.mark.parametrize("charset", ["gbk", "GB2312", "gb18030", "big5-hkscs", "Shift_JIS", "euc-kr", "utf-8"])
    def test_text_is_decoded_by_the_charset_of_the_body(self, charset: str) -> None:
        name = {"Shift_JIS": "表", "euc-kr": "가", "big5-hkscs": "張偉"}.get(charset, self.NAME)
        written = name.encode({"GB2312": "gb2312", "euc-kr": "euc_kr", "Shift_JIS": "cp932"}.get(charset, charset))
        for body, kind in (
            (b"img=YQ&name=" + quote_plus(written).encode(), FORM),
            (b"img=YQ&name=" + written, FORM),  # not escaped at all
            (b'{"img": "YQ", "name": "' + written.replace(b"\\", b"\\") + b'"}', "application/json"),
            (PART % b"img" + b"YQ" + PART % b"name" + written + b"\r\n--b--", "multipart/form-data; boundary=b"),
        ):
            given_ = parse(body, f"{kind}; charset={charset}")
            assert given_ == Parameters(text={"name": name}, images={"img": b"YQ"}), (charset, kind)

    @pytest.mark.parametrize("kind", [FORM, "application/json", "multipart/form-data; boundary=b"])
    @pytest.mark.parametrize(
        "charset", ["utf-16", "utf-32", "utf-7", "iso-2022-jp", "hz", "ebcdic-cp-us", "rot13", "x"]
    )
    def test_another_charset_is_refused_with_examples_of_accepted_ones(self, charset: str, kind: str) -> None:
        with pytest.raises(InvalidRequest, match="must be one that contains ASCII, such as UTF-8, GBK"):
            parse(b"", f"{kind}; charset={charset}")

    @pytest.mark.parametrize(
        ("body", "kind", "sentence"),
        [
            (b"name=%ff", FORM + "; charset=gbk", "name is not GBK, which was named as its charset"),
            (b"facedb=%e5", FORM + "; charset=us-ascii", "facedb is not ASCII, which"),
            (b"name=%d5%c5", FORM, "name is not UTF-8; name its charset in Content-Type"),
            (b"%ff=1", FORM + "; charset=gbk", "a parameter's name is not GBK"),
            (b'{"name": "\xff"}', "application/json; charset=gbk", "body is not GBK"),
            (b'{"name": "\xff"}', "application/json", "body is not UTF-8"),
        ],
    )
    def test_text_that_does_not_decode_is_named(self, body: bytes, kind: str, sentence: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            parse(body, kind)
        assert sentence in refused.value.message

    def test_a_form_may_name_its_charset_in_a_field(self) -> None:
        assert parse_form(b"name=%D5%C5&_charset_=GBK").text == {"name": "张"}
        assert parse_form(b"name=%E5%BC%A0&_charset_=").text == {"name": "张"}
        parts = PART % b"name" + b"\xd5\xc5" + PART % b"_charset_" + b"gbk" + b"\r\n--b--"
        assert parse_multipart(parts, b"b").text == {"name": "张"}
        with pytest.raises(InvalidRequest, match="_charset_ is given twice"):
            parse_form(b"_charset_=gbk&_charset_=big5")
        with pytest.raises(InvalidRequest, match="the charset that _charset_ names is not accepted"):
            parse_form(b"_charset_=utf-16&name=a")

    def test_a_part_may_name_its_charset(self) -> None:
        typed = PART % b"name" + b"\xb1i" + PART % b"_charset_" + b"gbk" + b"\r\n--b--"
        typed = typed.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=Big5\r\n\r\n", 1)
        assert parse_multipart(typed, b"b").text == {"name": "張"}
        with pytest.raises(InvalidRequest, match="the charset that the part name names is not accepted"):
            parse_multipart(typed.replace(b"Big5", b"utf-16"), b"b")
        image = PART % b"img" + b"YQ" + b"\r\n--b--"  # an image is not decoded as text
        parse_multipart(image.replace(b"\r\n\r\n", b"\r\nContent-Type: image/jpeg; charset=binary; (\r\n\r\n", 1), b"b")

    def test_a_text_is_limited_to_the_bytes_beside_images(self) -> None:
        with pytest.raises(InvalidRequest, match="name is longer than 65536 bytes"):
            parse_form(b"name=" + b"a" * (MAX_OTHERS_BYTES + 1))


class TestJson:
    def test_strings_are_read_by_name(self) -> None:
        given_ = parse_json(b'{"img": "YQ==", "name": "", "facedb": null, "more": [1]}')
        assert given_ == Parameters(text={"name": ""}, images={"img": b"YQ=="})

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b'{"name": 1}', b'{"img": ["a"]}', b'{"name": {}}']
    )
    def test_other_documents_are_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidRequest):
            parse_json(body)

    def test_a_repeated_name_is_refused_if_a_call_takes_it(self) -> None:
        with pytest.raises(InvalidRequest, match="name is given twice"):
            parse_json(b'{"name": "a", "name": "a"}')
        assert parse_json(b'{"x": "a", "x": {"name": "b"}, "name": "c"}').text == {"name": "c"}

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            (b"1", "a number; write it in quotes"),
            (b"-1e9", "a number; write it in quotes"),
            (b"true", "true or false; write it in quotes"),
            (b"[1]", "a list"),
            (b"{}", "an object"),
        ],
    )
    def test_another_type_than_a_string_is_named(self, value: bytes, kind: str) -> None:
        for name in ("name", "facedb", "person_id", "img"):
            with pytest.raises(InvalidRequest) as refused:
                parse_json(b'{"%s": %s}' % (name.encode(), value))
            assert refused.value.message == f"{name} must be a string, but is {kind}"

    @pytest.mark.parametrize("number", ["5", "-0.5", "1e2", "9" * 100])
    def test_a_parameter_that_is_a_number_may_be_one(self, number: str) -> None:
        assert parse_json(b'{"limit": %s, "min_confidence": "%s"}' % (number.encode(), number.encode())).text == {
            "limit": number,
            "min_confidence": number,
        }

    @given(
        st.dictionaries(st.sampled_from(["name", "facedb", "person_id", "x"]), st.text(st.characters(codec="utf-8")))
    )
    def test_strings_written_by_json_are_read_back(self, given_: dict[str, str]) -> None:
        body = json.dumps(given_).encode()
        if any("\0" in value for name, value in given_.items() if name != "x"):
            with pytest.raises(InvalidRequest, match="NUL"):
                parse_json(body)
        elif body.count(b",") < 1000:
            given_.pop("x", None)
            assert parse_json(body).text == given_


class TestMultipart:
    @given(st.binary(max_size=300), st.sampled_from([b"b", b"-----abc", b"'()+_,-./:=?"]))
    def test_a_file_is_read_back(self, image: bytes, boundary: bytes) -> None:
        assume(b"\r\n--" + boundary not in b"\r\n" + image + b"\r\n")
        body = (
            b"preamble\r\n--" + boundary + b'  \r\nContent-Disposition: form-data; name="img"; filename="a b.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n" + image + b"\r\n--" + boundary + b"\r\n"
            b"content-disposition: form-data; name=name\r\n\r\nGrace\r\n--" + boundary + b"--\r\nepilogue"
        )
        content_type = header_values.parse(f'multipart/form-data; boundary="{boundary.decode()}"', "Content-Type")
        given_ = parse_multipart(body, multipart.boundary(content_type))
        assert given_ == Parameters(text={"name": "Grace"}, images={"img": image}, files={"img"})

    @pytest.mark.parametrize(
        ("filename", "value", "is_file"),
        [
            (b"", b"\xff\xd8\xff", True),
            (b"", b"\x89PNG\r\n", True),
            (b"", b"BM\0", True),
            (b"", b"/9j/", False),
            (b"", b"GIF89a\0", False),
            (b'; filename="a.txt"', b"/9j/", True),
            (b'; filename=""', b"", True),
        ],
    )
    def test_an_image_is_recognised_by_its_content_or_filename(
        self, filename: bytes, value: bytes, is_file: bool
    ) -> None:
        given_ = parse_multipart(PART.replace(b'"%s"', b"img" + filename) + value + b"\r\n--b--", b"b")
        assert given_ == Parameters(images={"img": value}, files={"img"} if is_file else set())

    @pytest.mark.parametrize(
        "content_type", ["", "; boundary=", "; boundary=" + "a" * 71, '; boundary="a', "; xboundary=a"]
    )
    def test_a_valid_boundary_is_required(self, content_type: str) -> None:
        with pytest.raises(InvalidRequest, match="boundary"):
            multipart.boundary(header_values.parse("multipart/form-data" + content_type, "Content-Type"))

    @given(
        st.lists(
            st.sampled_from(
                [b"--b", b"\r\n", b"\r\n\r\n", b"--", b'form-data; name="img"', b"Content-Disposition: ", b"x", b"\0"]
            )
        )
    )
    def test_any_pieces_of_multipart_are_parsed_or_refused(self, pieces: list[bytes]) -> None:
        parses_or_refuses(lambda body: parse_multipart(body, b"b"), b"".join(pieces))


def parses_or_refuses(parse: Callable[[bytes], Parameters], body: bytes) -> None:
    with suppress(ContractError):
        assert isinstance(parse(body), Parameters)


@given(st.binary(max_size=200), st.sampled_from([b"", b"img=", b'{"img":"', b"--b\r\n"]))
def test_any_bytes_are_parsed_or_refused(body: bytes, start: bytes) -> None:
    for parser in (parse_form, parse_json, lambda body: parse_multipart(body, b"b")):
        parses_or_refuses(parser, start + body)


LARGEST = b"%41" * MAX_IMG_CHARACTERS
BOUNDARY = b"\r\n--b\r\nContent-Disposition: form-data; name=%s; filename=p\r\n\r\n"


class TestSize:
    """Bodies of calls that take one image, or two."""

    def test_the_largest_images_are_accepted_in_their_longest_spelling(self) -> None:
        assert set(parse(b"img=" + LARGEST, FORM).images) == {"img"}
        assert set(parse(b"img2=" + LARGEST + b"&img1=" + LARGEST, FORM, images=("img1", "img2")).images) == {
            "img1",
            "img2",
        }

    def test_a_second_image_is_accepted_only_by_a_call_that_takes_two(self) -> None:
        with pytest.raises(InvalidRequest, match="all but img may take 65536 bytes"):
            parse(b"img1=" + LARGEST + b"&img=" + LARGEST, FORM)

    @pytest.mark.parametrize("names", [("img1", "img2"), ("img2", "img1")])
    def test_one_image_of_two_that_is_too_large_is_reported_in_every_content_type(self, names: tuple[str, str]) -> None:
        first, second = (name.encode() for name in names)
        much = b"A" * max_body_bytes(2)
        for body, kind in (
            (first + b"=QUFB&" + second + b"=" + much, FORM),
            (first + b"=" + much + b"&" + second + b"=QUFB", FORM),
            (b'{"%s": "QUFB", "%s": "%s"}' % (first, second, much), "application/json"),
            (BOUNDARY % first + b"QUFB" + BOUNDARY % second + much, "multipart/form-data; boundary=b"),
        ):
            with pytest.raises(ImageTooLarge):
                parse(body, kind, images=("img1", "img2"))

    def test_a_name_within_a_filename_makes_no_image_of_another_part(self) -> None:
        other = PART.replace(b'"%s"', b'x; filename="; name=img"') + b"A" * max_body_bytes(1)
        with pytest.raises(BodyUnreadable, match="all but img may take"):
            parse(PART % b"img" + b"QUFB" + other, "multipart/form-data; boundary=b")

    def test_other_data_that_is_too_large_is_not_reported_as_an_image(self) -> None:
        others = b"&x=" + b"a" * MAX_OTHERS_BYTES
        with pytest.raises(BodyUnreadable, match="all but img1 and img2 may take 65536 bytes"):
            parse(b"img1=" + LARGEST + others + b"&img2=" + LARGEST, FORM, images=("img1", "img2"))

    def test_a_large_body_of_a_call_without_images_is_unreadable(self) -> None:
        with pytest.raises(BodyUnreadable, match=r"body is too large$"):
            parse(b"img=" + b"A" * max_body_bytes(1), FORM, images=())


class TestHeldBytes:
    """The bytes that a parser reports as held while a body arrives."""

    @pytest.mark.parametrize(
        ("body", "kind", "most"),
        [
            (b"img=" + LARGEST, FORM, MAX_IMG_CHARACTERS),
            (b"x=" + LARGEST, FORM, 0),
            (b"img=" + b"A" * MAX_IMG_CHARACTERS, FORM, MAX_IMG_CHARACTERS),
            (b'{"img": "' + b"A" * MAX_IMG_CHARACTERS + b'"}', "application/json", MAX_IMG_CHARACTERS),
            (PART % b"img" + LARGEST + b"\r\n--b--", "multipart/form-data; boundary=b", len(LARGEST)),
        ],
        ids=["escaped", "unknown", "not escaped", "JSON", "multipart"],
    )
    def test_held_bytes_are_those_that_are_kept(self, body: bytes, kind: str, most: int) -> None:
        held: list[int] = []
        parse(body, kind, hold=held.append)
        assert len(held) > 1
        assert held == sorted(held)
        assert most <= held[-1] <= most * 9 / 8 + 1000  # a growing buffer is a little larger than its content

    @pytest.mark.parametrize("kind", [FORM, "application/json", "multipart/form-data; boundary=b"])
    def test_a_refusal_to_hold_ends_the_parsing_early(self, kind: str) -> None:
        held: list[int] = []

        def hold(size: int) -> None:
            held.append(size)
            if size > 1_000_000:
                raise Unavailable

        with pytest.raises(Unavailable):
            parse(b"img=" + b"A" * 2_000_000, kind, hold=hold)
        assert held[-1] < 1_500_000


@pytest.mark.parametrize("item", BODIES, ids=str)
def test_hostile_bodies_get_their_answer(item: Hostile) -> None:
    assert answer_to_body(item.make(), item.content_type) == item.answer
