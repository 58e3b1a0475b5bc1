"""Hostile bodies, see hostile.py. Those larger than max_body_bytes() are never read whole."""

import json

from hostile import INVALID_REQUEST, INVALID_SIZE, PARSED, Hostile

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
BOUNDARY = "b0undary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"

MEGA = 1_000_000


def multipart(*fields: tuple[bytes, bytes], end: bytes = b"--\r\n") -> bytes:
    """Return a multipart body with parts of the given headers and content."""
    start = b"--" + BOUNDARY.encode()
    return (
        b"".join(start + b"\r\n" + headers + b"\r\n\r\n" + content + b"\r\n" for headers, content in fields)
        + start
        + end
    )


def named(name: str, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}'.encode()


FORMS = (
    Hostile("form: 9 million &", lambda: b"&" * 9 * MEGA, INVALID_REQUEST, "at most 64 parameters", FORM),
    Hostile("form: a million parameters", lambda: b"a=1&" * MEGA, INVALID_REQUEST, "at most 64 parameters", FORM),
    Hostile("form: every byte escaped", lambda: b"img=" + b"%41" * 2_796_204, PARSED, "vectorised", FORM),
    Hostile(
        "form: 2.8 million broken escapes", lambda: b"img=" + b"%zz" * 2_796_204, INVALID_REQUEST, "at the first", FORM
    ),
    Hostile("form: 8 MB of backslashes", lambda: b"img=%41" + b"\\" * 8 * MEGA, INVALID_REQUEST, "in no base64", FORM),
    Hostile(
        "form: name of 20 MB", lambda: b"name=" + b"a" * 20 * MEGA, INVALID_REQUEST, "not the image is too large", FORM
    ),
    Hostile("form: image of 20 MB", lambda: b"img=" + b"A" * 20 * MEGA, INVALID_SIZE, "refused while it is read", FORM),
    Hostile(
        "form: image, then name of 20 MB",
        lambda: b"img=QUFB&name=" + b"a" * 20 * MEGA,
        INVALID_REQUEST,
        "not the image is too large",
        FORM,
    ),
    Hostile("form: parameter's name of 8 MB", lambda: b"a" * 8 * MEGA, INVALID_REQUEST, "at most 128 bytes", FORM),
    Hostile("form: name that is no UTF-8", lambda: b"img=QUFB&%ff%fe=1", INVALID_REQUEST, "likely no form", FORM),
    Hostile("form: value that is no UTF-8", lambda: b"name=%ff", INVALID_REQUEST, "", FORM),
    Hostile("form: NUL", lambda: b"name=a%00b", INVALID_REQUEST, "", FORM),
    Hostile("form: img twice", lambda: b"img=QUFB&img=QUFB", INVALID_REQUEST, "which one is meant?", FORM),
    Hostile("form: JSON", lambda: b'{"img": "' + b"A" * 1000 + b'"}', INVALID_REQUEST, "name too long", FORM),
)

JSONS = (
    Hostile("JSON: 100,000 [", lambda: b"[" * 100_000, INVALID_REQUEST, "recursion is bounded", JSON),
    Hostile("JSON: nested objects", lambda: b'{"a":' * 100_000, INVALID_REQUEST, "recursion is bounded", JSON),
    Hostile(
        "JSON: 2.8 million lists",
        lambda: b"[" + b"[]," * 2_800_000 + b"1]",
        INVALID_REQUEST,
        "at most 1,000 commas",
        JSON,
    ),
    Hostile(
        "JSON: number of 8 MB", lambda: b'{"img": ' + b"9" * 8 * MEGA + b"}", INVALID_REQUEST, "never worked out", JSON
    ),
    Hostile("JSON: 1e999999999", lambda: b'{"img": 1e999999999}', INVALID_REQUEST, "never worked out", JSON),
    Hostile("JSON: NaN", lambda: b'{"img": "QUFB", "x": NaN}', INVALID_REQUEST, "no JSON", JSON),
    Hostile("JSON: 1.4 million escapes", lambda: b'{"img": "' + b"\\u0041" * 1_400_000 + b'"}', PARSED, "linear", JSON),
    Hostile(
        "JSON: name of 20 MB",
        lambda: b'{"name": "' + b"a" * 20 * MEGA,
        INVALID_REQUEST,
        "not the image is too large",
        JSON,
    ),
    Hostile(
        "JSON: image of 20 MB", lambda: b'{"img": "' + b"A" * 20 * MEGA, INVALID_SIZE, "refused while it is read", JSON
    ),
    Hostile("JSON: two img", lambda: b'{"img": "QUFB", "img": "QUFB"}', INVALID_REQUEST, "which one is meant?", JSON),
    Hostile("JSON: half a surrogate pair", lambda: b'{"name": "\\ud800"}', INVALID_REQUEST, "no text", JSON),
    Hostile("JSON: NUL", lambda: json.dumps({"name": "a\0b"}).encode(), INVALID_REQUEST, "", JSON),
    Hostile("JSON: byte order mark", lambda: b'\xef\xbb\xbf{"img": "QUFB"}', PARSED, "as RFC 8259 allows", JSON),
    Hostile("JSON: UTF-16", lambda: '{"img": "QUFB"}'.encode("utf-16"), INVALID_REQUEST, "JSON is UTF-8", JSON),
    Hostile("JSON: list", lambda: b"[1]", INVALID_REQUEST, "", JSON),
    Hostile("JSON: img is a list", lambda: b'{"img": ["QUFB"]}', INVALID_REQUEST, "", JSON),
)

MULTIPARTS = (
    Hostile(
        "multipart: no boundary named",
        lambda: multipart((named("img"), b"QUFB")),
        INVALID_REQUEST,
        "",
        "multipart/form-data",
    ),
    Hostile("multipart: another boundary", lambda: b"--other\r\n\r\n\r\n--other--", INVALID_REQUEST, "", MULTIPART),
    Hostile(
        "multipart: boundary of 5,000",
        lambda: b"",
        INVALID_REQUEST,
        "at most 70",
        "multipart/form-data; boundary=" + "a" * 5000,
    ),
    Hostile(
        "multipart: no end", lambda: multipart((named("img"), b"QUFB"), end=b""), INVALID_REQUEST, "cut off", MULTIPART
    ),
    Hostile(
        "multipart: 100,000 parts",
        lambda: multipart(*[(named("a"), b"")] * 100_000),
        INVALID_REQUEST,
        "at most 64",
        MULTIPART,
    ),
    Hostile(
        "multipart: 8 MB of boundaries",
        lambda: (b"\r\n--" + BOUNDARY.encode()) * 600_000,
        INVALID_REQUEST,
        "at most 64",
        MULTIPART,
    ),
    Hostile(
        "multipart: 8 MB of almost boundaries",
        lambda: multipart((named("img"), (b"\r\n--" + BOUNDARY[:-1].encode()) * 650_000)),
        PARSED,
        "linear search",
        MULTIPART,
    ),
    Hostile(
        "multipart: header of 8 MB",
        lambda: multipart((named("img") + b"\r\nX: " + b"a" * 8 * MEGA, b"QUFB")),
        INVALID_REQUEST,
        "at most 8 KiB",
        MULTIPART,
    ),
    Hostile(
        "multipart: 8 MB of boundaries that go on",
        lambda: multipart((named("img"), (b"\r\n--" + BOUNDARY.encode() + b"x") * 600_000)),
        INVALID_REQUEST,
        "at the first",
        MULTIPART,
    ),
    Hostile(
        "multipart: 8 MB of blanks behind a boundary",
        lambda: multipart((named("img"), b"QUFB")).replace(b"\r\n", b" " * 8 * MEGA + b"\r\n", 1),
        PARSED,
        "linear",
        MULTIPART,
    ),
    Hostile(
        "multipart: 8 MB of boundaries before blanks",
        lambda: (b"\r\n--" + BOUNDARY.encode() + b" ") * 600_000,
        INVALID_REQUEST,
        "linear",
        MULTIPART,
    ),
    Hostile(
        "multipart: header in 4,000 lines",
        lambda: multipart((named("img") + b"\r\n a" * 4000, b"QUFB")),
        INVALID_REQUEST,
        "one header, one line",
        MULTIPART,
    ),
    Hostile(
        "multipart: disposition of 8,000 quotes",
        lambda: multipart((named("img", ";" + '"' * 8000), b"QUFB")),
        INVALID_REQUEST,
        "each character is read once",
        MULTIPART,
    ),
    Hostile("multipart: part without a name", lambda: multipart((b"X: y", b"QUFB")), INVALID_REQUEST, "", MULTIPART),
    Hostile(
        "multipart: parts in a part",
        lambda: multipart((named("img") + b"\r\nContent-Type: multipart/mixed; boundary=x", b"--x")),
        INVALID_REQUEST,
        "",
        MULTIPART,
    ),
    Hostile(
        "multipart: base64 as transfer encoding",
        lambda: multipart((named("img", '; filename="a"') + b"\r\nContent-Transfer-Encoding: base64", b"QUFB")),
        INVALID_REQUEST,
        "forbidden by RFC 7578",
        MULTIPART,
    ),
    Hostile(
        "multipart: img as field and as file",
        lambda: multipart((named("img"), b"QUFB"), (named("img", '; filename="a"'), b"x")),
        INVALID_REQUEST,
        "which one is meant?",
        MULTIPART,
    ),
    Hostile(
        "multipart: name of 20 MB",
        lambda: multipart((named("img"), b"QUFB"), (named("name"), b"a" * 20 * MEGA)),
        INVALID_REQUEST,
        "not the image is too large",
        MULTIPART,
    ),
    Hostile(
        "multipart: image of 20 MB",
        lambda: multipart((named("img", '; filename="a"'), b"a" * 20 * MEGA)),
        INVALID_SIZE,
        "refused while it is read",
        MULTIPART,
    ),
)

TYPES = (
    Hostile(
        "Content-Type: 8,000 quotes",
        lambda: b"img=QUFB",
        INVALID_REQUEST,
        "each character is read once",
        FORM + ";x1;" + '"' * 8000,
    ),
    Hostile(
        "Content-Type: 8,000 brackets",
        lambda: b"img=QUFB",
        INVALID_REQUEST,
        "each character is read once",
        FORM + ";x1; " + "(" * 8000,
    ),
    Hostile(
        "Content-Type: a parameter in 700 pieces",
        lambda: b"img=QUFB",
        INVALID_REQUEST,
        "at most 32 parameters",
        FORM + ";x1" + "".join(f";a*{n}*=%41" for n in range(700)),
    ),
    Hostile("Content-Type: 8,000 semicolons", lambda: b"img=QUFB", PARSED, "one pattern", FORM + ";" * 8000),
    Hostile("Content-Type: a star without a value", lambda: b"img=QUFB", PARSED, "ignored", FORM + "; a*"),
    Hostile("charset that is a cipher", lambda: b"img=QUFB", INVALID_REQUEST, "from a table", FORM + "; charset=rot13"),
    Hostile(
        "GBK: 8 MB", lambda: b"x=" + "\u4e2d".encode("gbk") * 4 * MEGA, PARSED, "nobody reads x", FORM + "; charset=gbk"
    ),
    Hostile(
        "JSON in GBK: 8 MB",
        lambda: b'{"x": "' + "\u4e2da".encode("gbk") * 2_790_000 + b'"}',
        PARSED,
        "linear",
        JSON + "; charset=gbk",
    ),
    Hostile("no Content-Type", lambda: b"img=QUFB", INVALID_REQUEST, ""),
    Hostile("unknown Content-Type", lambda: b"<img/>", INVALID_REQUEST, "", "text/xml"),
    Hostile("charset UTF-16", lambda: b"img=QUFB", INVALID_REQUEST, "", FORM + "; charset=utf-16"),
)

BODIES = (*FORMS, *JSONS, *MULTIPARTS, *TYPES)
