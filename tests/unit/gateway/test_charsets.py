"""Charsets of bodies: those that contain ASCII, under the names that callers give them."""

import codecs

import pytest

from gateway.body.charsets import CHARSETS, UTF_8, Charset, decode, lookup
from shared.errors import InvalidRequest

ASCII = bytes(range(128))
SPLITS = set(b"&=%+\r\n,;\"'")
"""Bytes at which bodies are split or unescaped before they are decoded."""

NOT_ASCII = "".join(map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x110000))))

DISTINCT = sorted(set(CHARSETS.values()), key=lambda charset: charset.name)


@pytest.mark.parametrize("charset", DISTINCT, ids=lambda charset: charset.name)
class TestEach:
    def test_it_contains_ascii(self, charset: Charset) -> None:
        assert ASCII.decode(charset.codec) == ASCII.decode("ascii")

    def test_no_other_character_has_a_byte_at_which_bodies_are_split(self, charset: Charset) -> None:
        written = NOT_ASCII.encode(charset.codec, "ignore")
        assert SPLITS.isdisjoint(written)
        assert written or charset.codec == "ascii"

    def test_it_is_stateless(self, charset: Charset) -> None:
        decoder = codecs.getincrementaldecoder(charset.codec)()
        decoder.decode(ASCII)
        assert decoder.getstate()[0] == b""


class TestNames:
    @pytest.mark.parametrize(
        ("label", "codec"),
        [
            ("GBK", "gb18030"),
            ("gb2312", "gb18030"),
            ("GB18030", "gb18030"),
            ("Big5", "big5hkscs"),
            ("Shift_JIS", "cp932"),
            ("EUC-JP", "euc_jp"),
            ("EUC-KR", "cp949"),
            (" windows-1251 ", "cp1251"),
            ("ISO-8859-1", "cp1252"),
            ("latin1", "cp1252"),
            ("ISO-8859-15", "iso8859_15"),
            ("koi8-r", "koi8_r"),
            ("UTF8", "utf-8"),
            ("us-ascii", "ascii"),
        ],
    )
    def test_labels_have_the_codec_of_their_superset(self, label: str, codec: str) -> None:
        assert lookup(label, "Content-Type").codec == codec

    @pytest.mark.parametrize(
        "label",
        [
            *("utf-16", "utf-16le", "utf-32", "utf-7", "ucs-2"),  # without ASCII, or not only
            *("iso-2022-jp", "iso-2022-kr", "hz-gb-2312", "hz"),  # with a state
            *("ebcdic-cp-us", "cp037"),
            *("rot13", "zlib", "bz2", "base64", "hex", "punycode", "idna", "unicode_escape", "raw_unicode_escape"),
            *("", "x", "../utf-8", "utf-8\0", "ütf-8", "a" * 8000),
        ],
    )
    def test_other_labels_are_refused_with_examples_of_accepted_ones(self, label: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            lookup(label, "Content-Type")
        assert refused.value.message == (
            "the charset that Content-Type names is not accepted; it must be one that contains ASCII, such as UTF-8, "
            "GBK, GB18030, Big5, Shift_JIS, EUC-KR, ISO-8859-1 or windows-1252"
        )


class TestText:
    def test_text_is_decoded(self) -> None:
        assert decode("张伟".encode("gbk"), lookup("gbk", ""), "name") == "张伟"
        assert decode(b"\x95\\", lookup("shift_jis", ""), "name") == "表"  # its second byte is a backslash
        assert decode(b"\x80 caf\xe9", lookup("iso-8859-1", ""), "name") == "€ café"

    def test_a_refusal_names_the_parameter_and_the_charset(self) -> None:
        with pytest.raises(InvalidRequest, match=r"name is not GBK, which was named as its charset$"):
            decode(b"\xff", lookup("gb2312", ""), "name")
        with pytest.raises(InvalidRequest, match=r"name is not ASCII, which"):
            decode(b"\xe9", lookup("us-ascii", ""), "name")
        with pytest.raises(InvalidRequest, match=r"name is not UTF-8; name its charset in Content-Type$"):
            decode("张".encode("gbk"), UTF_8, "name")
