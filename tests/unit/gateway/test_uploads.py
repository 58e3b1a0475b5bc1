"""Bodies become parameters; parameters become values or a sentence that says what is wrong."""

import base64
import uuid
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import parameters
from gateway.uploads import Parameters, parse_form, parse_json
from shared.errors import InvalidRequest, PersonUnknown


class TestForm:
    @given(st.binary(max_size=500), st.text(max_size=50), st.booleans())
    def test_what_a_form_encodes_comes_back(self, image: bytes, name: str, strict: bool) -> None:
        encoded = base64.b64encode(image)
        quoted = quote_plus(encoded) if strict else encoded.decode()
        given_ = parse_form(f"img={quoted}&{urlencode({'name': name})}&facedb=a".encode())
        assert given_.img is not None
        assert given_.img.replace(b" ", b"+") == encoded  # an unescaped + arrives as a space
        assert given_.text == {"name": name, "facedb": "a"}

    def test_escapes_in_either_case(self) -> None:
        assert parse_form(b"img=%2B%2b%2F%2f%3D%3d%41").img == b"++//==A"

    def test_a_percent_sign_is_decoded_once(self) -> None:
        assert parse_form(b"img=%252B").img == b"%2B"

    def test_no_equals_sign_means_empty(self) -> None:
        assert parse_form(b"name&img").text == {"name": ""}

    def test_unknown_parameters_are_ignored(self) -> None:
        assert parse_form(b"colour=red&name=x&colour=blue") == Parameters(text={"name": "x"})

    @pytest.mark.parametrize("body", [b"img=a&img=b", b"name=a&name=a", b"facedb=&facedb="])
    def test_a_parameter_may_come_once(self, body: bytes) -> None:
        with pytest.raises(InvalidRequest, match="is given twice"):
            parse_form(body)

    def test_broken_utf8_is_refused(self) -> None:
        with pytest.raises(InvalidRequest, match="name is not UTF-8"):
            parse_form(b"name=%ff")


class TestJson:
    def test_strings_by_name(self) -> None:
        given_ = parse_json(b'{"img": "YQ==", "name": "", "facedb": null, "more": [1]}')
        assert given_ == Parameters(text={"name": ""}, img=b"YQ==")

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b'{"name": 1}', b'{"img": ["a"]}']
    )
    def test_other_documents_are_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidRequest):
            parse_json(body)


class TestRules:
    def test_name_left_out_is_not_the_same_as_empty(self) -> None:
        assert parameters.name(Parameters()) is None
        assert parameters.name(Parameters(text={"name": ""})) == ""

    @pytest.mark.parametrize("name", ["a b", "x" * 129, "naïve", "a\n", "../x", "\0"])
    def test_name_is_letters_and_digits(self, name: str) -> None:
        with pytest.raises(InvalidRequest, match="name must be"):
            parameters.name(Parameters(text={"name": name}))

    @pytest.mark.parametrize("facedb", ["", "x" * 65, "a.b", "a/b", "a b"])
    def test_facedb_is_a_plain_word(self, facedb: str) -> None:
        with pytest.raises(InvalidRequest, match="facedb must be"):
            parameters.facedb(Parameters(text={"facedb": facedb}))

    def test_person_id_is_needed(self) -> None:
        for text in ({}, {"person_id": ""}):
            with pytest.raises(InvalidRequest, match="person_id is missing"):
                parameters.person_id(Parameters(text=text))

    def test_what_cannot_be_an_id_was_never_given_to_anybody(self) -> None:
        identifier = uuid.uuid4()
        assert parameters.as_uuid(str(identifier)) == identifier
        for text in ("1", "x" * 36, "4fbd9474-e09f-4e7d-9a2f-06fa1167f67", "\0"):
            with pytest.raises(PersonUnknown):
                parameters.as_uuid(text)

    def test_img_is_needed_and_a_file_is_taken_as_it_is(self) -> None:
        with pytest.raises(InvalidRequest, match="img is missing"):
            parameters.image(Parameters())
        with pytest.raises(InvalidRequest, match="img is an empty file"):
            parameters.image(Parameters(img=b"", img_is_file=True))
        assert parameters.image(Parameters(img=b"\xff\xd8", img_is_file=True)) == b"\xff\xd8"
