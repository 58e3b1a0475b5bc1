"""The charsets that a body may name: all that contain ASCII, under the labels of the WHATWG Encoding Standard and those
of Java and Windows.

A name that a caller sends is looked up in this table and never among Python's codecs, which include compressors,
ciphers and stateful encodings. None of these charsets has `&`, `=`, `%`, `+`, a quote, a comma or a line break as part
of another character, so a form can be split and unescaped before it is decoded, even if its bytes are not escaped.
"""

from dataclasses import dataclass
from typing import Final

from shared.errors import InvalidRequest


@dataclass(frozen=True)
class Charset:
    """name: for messages to callers. codec: Python's name."""

    name: str
    codec: str


UTF_8: Final = Charset("UTF-8", "utf-8")

# Decoded as browsers do: ISO-8859-1 as windows-1252, GBK and GB2312 as GB18030, and so on, each a superset.
# Only ASCII is decoded strictly: any other byte shows that the charset was named wrongly.
_LABELS: Final = {
    UTF_8: "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
    Charset("ASCII", "ascii"): "us-ascii ascii ansi_x3.4-1968 iso-ir-6 iso646-us iso_646.irv:1991 cp367 ibm367",
    Charset("GB18030", "gb18030"): "gb18030",
    Charset("GBK", "gb18030"): "gbk gb2312 gb_2312 gb_2312-80 chinese csgb2312 csiso58gb231280 iso-ir-58 x-gbk "
    "cp936 ms936 windows-936 euc-cn euccn x-euc-cn",
    Charset("Big5", "big5hkscs"): "big5 big5-hkscs cn-big5 csbig5 x-x-big5 cp950 ms950 x-windows-950 windows-950",
    Charset("Shift_JIS", "cp932"): "shift_jis shift-jis sjis csshiftjis ms_kanji x-sjis windows-31j cswindows31j "
    "cp932 ms932 windows-932",
    Charset("EUC-JP", "euc_jp"): "euc-jp eucjp x-euc-jp cseucpkdfmtjapanese",
    Charset("EUC-KR", "cp949"): "euc-kr euckr cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 "
    "ksc5601 ksc_5601 windows-949 x-windows-949 cp949 ms949 uhc",
    Charset("windows-1250", "cp1250"): "windows-1250 cp1250 x-cp1250",
    Charset("windows-1251", "cp1251"): "windows-1251 cp1251 x-cp1251",
    Charset("windows-1252", "cp1252"): "windows-1252 cp1252 x-cp1252 iso-8859-1 iso8859-1 iso88591 iso_8859-1 "
    "iso_8859-1:1987 iso-ir-100 csisolatin1 latin1 latin-1 l1 cp819 ibm819",
    Charset("windows-1253", "cp1253"): "windows-1253 cp1253 x-cp1253",
    Charset("windows-1254", "cp1254"): "windows-1254 cp1254 x-cp1254 iso-8859-9 iso8859-9 iso88599 iso_8859-9 "
    "iso_8859-9:1989 iso-ir-148 csisolatin5 latin5 l5",
    Charset("windows-1255", "cp1255"): "windows-1255 cp1255 x-cp1255",
    Charset("windows-1256", "cp1256"): "windows-1256 cp1256 x-cp1256",
    Charset("windows-1257", "cp1257"): "windows-1257 cp1257 x-cp1257",
    Charset("windows-1258", "cp1258"): "windows-1258 cp1258 x-cp1258",
    Charset("windows-874", "cp874"): "windows-874 cp874 dos-874 iso-8859-11 iso8859-11 iso885911 tis-620",
    Charset("ISO-8859-2", "iso8859_2"): "iso-8859-2 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 iso-ir-101 "
    "csisolatin2 latin2 l2",
    Charset("ISO-8859-3", "iso8859_3"): "iso-8859-3 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 iso-ir-109 "
    "csisolatin3 latin3 l3",
    Charset("ISO-8859-4", "iso8859_4"): "iso-8859-4 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 iso-ir-110 "
    "csisolatin4 latin4 l4",
    Charset("ISO-8859-5", "iso8859_5"): "iso-8859-5 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988 iso-ir-144 "
    "csisolatincyrillic cyrillic",
    Charset("ISO-8859-6", "iso8859_6"): "iso-8859-6 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987 iso-8859-6-e "
    "iso-8859-6-i csiso88596e csiso88596i iso-ir-127 csisolatinarabic arabic asmo-708 ecma-114",
    Charset("ISO-8859-7", "iso8859_7"): "iso-8859-7 iso8859-7 iso88597 iso_8859-7 iso_8859-7:1987 iso-ir-126 "
    "csisolatingreek greek greek8 ecma-118 elot_928 sun_eu_greek",
    Charset("ISO-8859-8", "iso8859_8"): "iso-8859-8 iso8859-8 iso88598 iso_8859-8 iso_8859-8:1988 iso-8859-8-e "
    "iso-8859-8-i csiso88598e csiso88598i iso-ir-138 csisolatinhebrew hebrew logical visual",
    Charset("ISO-8859-10", "iso8859_10"): "iso-8859-10 iso8859-10 iso885910 iso-ir-157 csisolatin6 latin6 l6",
    Charset("ISO-8859-13", "iso8859_13"): "iso-8859-13 iso8859-13 iso885913",
    Charset("ISO-8859-14", "iso8859_14"): "iso-8859-14 iso8859-14 iso885914",
    Charset("ISO-8859-15", "iso8859_15"): "iso-8859-15 iso8859-15 iso885915 iso_8859-15 csisolatin9 l9 latin9",
    Charset("ISO-8859-16", "iso8859_16"): "iso-8859-16 iso8859-16 iso885916",
    Charset("KOI8-R", "koi8_r"): "koi8-r koi8_r koi8 koi cskoi8r",
    Charset("KOI8-U", "koi8_u"): "koi8-u koi8-ru",
    Charset("IBM866", "cp866"): "ibm866 cp866 866 csibm866",
    Charset("macintosh", "mac_roman"): "macintosh mac x-mac-roman csmacintosh",
    Charset("x-mac-cyrillic", "mac_cyrillic"): "x-mac-cyrillic x-mac-ukrainian",
}
CHARSETS: Final = {label: charset for charset, labels in _LABELS.items() for label in labels.split()}
"""Charsets by label, in lower case."""


def lookup(label: str, where: str) -> Charset:
    """Return the charset of a label. where: names its place in errors. Raises InvalidRequest for an unknown label."""
    charset = CHARSETS.get(label.strip().lower())
    if charset is None:
        raise InvalidRequest(
            f"the charset that {where} names is not accepted; it must be one that contains ASCII, such as UTF-8, "
            "GBK, GB18030, Big5, Shift_JIS, EUC-KR, ISO-8859-1 or windows-1252"
        )
    return charset


def decode(value: bytes, charset: Charset, what: str) -> str:
    """Decode a value. what: names it in errors. Raises InvalidRequest if it is not text in that charset."""
    try:
        return value.decode(charset.codec)
    except UnicodeDecodeError:
        hint = "; name its charset in Content-Type" if charset is UTF_8 else ", which was named as its charset"
        raise InvalidRequest(f"{what} is not {charset.name}{hint}") from None
