"""Header values with parameters: those that clients write are read, and all others are refused with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.body.header_values import MAX_CHARACTERS, MAX_PARAMETERS, HeaderValue, parse
from shared.errors import InvalidRequest

TOKENS = st.text("abcXYZ019!#$&'*+.^_`|~-", min_size=1, max_size=8)
VALUES = st.text(st.characters(codec="utf-8"), max_size=12)
FORM = "application/x-www-form-urlencoded"


def content_type(text: str) -> HeaderValue:
    return parse(text, "Content-Type")


class TestAccepted:
    @pytest.mark.parametrize(
        ("text", "main", "parameters"),
        [
            ("", "", {}),
            ("application/json", "application/json", {}),
            (" Application/JSON ; Charset=UTF-8 ", "application/json", {"charset": "UTF-8"}),
            ("application/json;charset=utf-8;", "application/json", {"charset": "utf-8"}),
            ("application/json ; ; charset = gbk", "application/json", {"charset": "gbk"}),
            ("application/json; charset=utf-8; charset=utf-8", "application/json", {"charset": "utf-8"}),
            (f'{FORM}; charset="Shift_JIS"', FORM, {"charset": "Shift_JIS"}),
            (f"{FORM}; x1; a*", FORM, {}),
            ("multipart/form-data; boundary=a=b/c:d,e?f", "multipart/form-data", {"boundary": "a=b/c:d,e?f"}),
            ('multipart/form-data; boundary="a b;c"', "multipart/form-data", {"boundary": "a b;c"}),
            ("form-data; name=img[0]", "form-data", {"name": "img[0]"}),
            ('form-data; name=""', "form-data", {"name": ""}),
            ('form-data; filename="C:\\photos\\x.jpg"', "form-data", {"filename": r"C:\photos\x.jpg"}),
            ('form-data; filename="C:\\photos\\"', "form-data", {"filename": "C:\\photos\\"}),
            ('form-data; name="a\\"b\\\\c"', "form-data", {"name": 'a"b\\c'}),
            ("form-data; filename*=UTF-8''%e2%82%ac", "form-data", {"filename*": "UTF-8''%e2%82%ac"}),
        ],
    )
    def test_values_of_clients_are_read(self, text: str, main: str, parameters: dict[str, str]) -> None:
        value = content_type(text)
        assert value.main == main
        assert value.parameters == parameters

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ('form-data; filename="x; name=img"; name="facedb"', "facedb"),
            ('form-data; filename="a\\"; name=\\"img"; name="facedb"', "facedb"),
            ('form-data; filename=";name=img;"; name=facedb', "facedb"),
            ('form-data; xname="img"; name="facedb"', "facedb"),
            ("form-data; filename=name=img; name=facedb", "facedb"),
        ],
    )
    def test_a_name_within_another_value_is_ignored(self, text: str, name: str) -> None:
        assert content_type(text).parameters["name"] == name

    @given(TOKENS, st.dictionaries(TOKENS.map(str.lower), VALUES, max_size=8))
    def test_quoted_values_are_read_back(self, main: str, parameters: dict[str, str]) -> None:
        quoted = (
            f'; {name}="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for name, value in parameters.items()
        )
        assert content_type(main + "".join(quoted)) == HeaderValue(main.lower(), parameters)


class TestRefused:
    @pytest.mark.parametrize(
        "text",
        [
            f"{FORM};x1;" + '"' * 8000,
            f"{FORM};x1; " + "(" * 8000,
            'multipart/form-data; boundary="a',
            'form-data; name="a"b',
            'form-data; name=a"b"',
            'form-data; filename="a\\"; name="img"',
            "form-data; =a",
            "form-data; name=a b",
        ],
    )
    def test_malformed_parameters(self, text: str) -> None:
        with pytest.raises(InvalidRequest, match="Content-Type is malformed; write it as"):
            content_type(text)

    def test_two_values_of_one_parameter(self) -> None:
        with pytest.raises(InvalidRequest, match="two different values"):
            content_type("application/json; charset=utf-8; charset=gbk")

    def test_too_many_parameters(self) -> None:
        assert content_type("a/b" + ";;;x=y" * MAX_PARAMETERS).parameters == {"x": "y"}
        with pytest.raises(InvalidRequest, match="more than 32 parameters"):
            content_type("a/b" + ";x=y" * (MAX_PARAMETERS + 1))

    def test_too_long_a_value(self) -> None:
        content_type("a" * MAX_CHARACTERS)
        with pytest.raises(InvalidRequest, match="longer than 8192 characters"):
            content_type("a" * (MAX_CHARACTERS + 1))


@given(
    st.text(st.sampled_from("a=;\"\\ \t*'(,/%0\n\x00é\ud800"), max_size=60)
    | st.lists(st.sampled_from([";", "=", '"', "\\", "name", "boundary", " ", "a*0*=%41", "()", "\t"])).map("".join)
    | st.text(max_size=60),
    st.sampled_from(["Content-Type", "Content-Type of a part", "Content-Disposition"]),
)
def test_any_text_is_read_or_refused_in_plain_words(text: str, header: str) -> None:
    sentences = (
        "is malformed; write it as ",
        "has two different values of one parameter",
        "has more than 32 parameters",
    )
    try:
        value = parse(f"form-data{text}", header)
    except InvalidRequest as refused:
        message = refused.message
    else:
        message = f"{header} {sentences[0]}"
        assert value.main.startswith("form-data")
    assert message.isascii()
    assert message.startswith(tuple(f"{header} {sentence}" for sentence in sentences))
