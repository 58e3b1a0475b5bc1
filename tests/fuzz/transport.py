"""Probes with odd or invalid HTTP: keys, headers, paths, framing, hanging up."""

from random import Random
from urllib.parse import quote

from fuzz.bodies import body, form
from fuzz.contents import images
from fuzz.mutations import corpus, image, mutate
from fuzz.probe import NOBODY, Probe, request
from shared.calls import CALLS, COMPARE_FACES, DELETE_FACE, SEARCH_FACE


def wrong_key(random: Random, key: str) -> Probe:
    wrong = random.choice(
        (None, "", " ", "x", key[:-1], f"{key}x", key.upper(), "\xff" * 20, "x" * 5000, f"{key} {key}")
    )
    call = random.choice(CALLS)
    content = body(random, {"person_id": NOBODY}, images(random, call, corpus()[0]))
    return Probe("key", request(call, key, content, headers={"X-API-Key": wrong}), call, {"INVALID_REQUEST"}, 401)


def headers(random: Random, key: str) -> Probe:
    """Draw readable headers that no valid request has."""
    odd = random.choice(
        (
            {"Expect": "200-maybe"},
            {"Content-Encoding": "gzip"},
            {"Content-Encoding": "br, zstd"},
            {"Content-Type": _header_text(random)},
            {"Content-Type": "application/json; charset=" + _header_text(random)},
            {"Content-Type": "application/x-www-form-urlencoded" + _parameters(random)},
            {"Content-Type": 'multipart/form-data; boundary="' + _header_text(random)},
            {"Accept": "text/html", "Accept-Charset": "utf-7"},
            {"X-Request-Id": _header_text(random), "X-Forwarded-For": _header_text(random)},
            {"Cookie": "a=" * 1000, "Range": "bytes=5-2", "If-Match": "*"},
            {"Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA", "Connection": "Upgrade, HTTP2-Settings"},
            {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x"},
            {f"X-{n}": "y" for n in range(90)},
        )
    )
    call = random.choice(CALLS)
    content = body(random, {"person_id": NOBODY}, images(random, call, corpus()[1]))
    return Probe("headers", request(call, key, content, headers=odd))


def later(random: Random, key: str) -> Probe:
    """Draw a request that nobody waits for, with an intact or a damaged image. It is never an add, as its outcome is
    not looked up.
    """
    call = random.choice((SEARCH_FACE, COMPARE_FACES, DELETE_FACE))
    content = body(random, {"person_id": NOBODY} if call is DELETE_FACE else {}, images(random, call, image(random)))
    preference = random.choice(("respond-async", "respond-async, wait=5", "Respond-Async;x=y", _header_text(random)))
    webhook = random.choice(({}, {}, {"X-Webhook-Url": _header_text(random)}, {"X-Webhook-Url": "https://127.0.0.1/"}))
    return Probe("later", request(call, key, content, headers={"Prefer": preference, **webhook}), call, (), 0)


def look_up(random: Random, key: str) -> Probe:
    """Draw the look-up of a job that there is not."""
    known = "3f9c0a52b7de.4b1f2f0c9a6e4c8d8f3b7a5e2d1c0b9a"
    text = random.choice((known, known.upper(), known[:-1], quote(_header_text(random)), "%2e%2e%2f", "*", "%00"))
    empty = {"Content-Type": None, "Content-Length": None}
    raw = request(f"jobs/{text}", key, ("", b""), "GET", empty)
    return Probe("look_up", raw, None, {"INVALID_REQUEST"}, 404)


def path(random: Random, key: str) -> Probe:
    paths = ("../", "addface/", "addface%00", "%2e%2e/%2e%2e/etc/passwd", "addface?img=x", "<b>")
    where = random.choice(paths)
    method = random.choice(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "POST"))
    if random.random() < 0.5:
        where = random.choice(CALLS).path.removeprefix("/v1/")
    raw = request(where, key, body(random, {"person_id": "x"}), method)
    return Probe("path", raw, head=method == "HEAD")


def no_http(random: Random, key: str) -> Probe:
    """Draw bytes that are not HTTP: a valid head that was damaged, or another protocol."""
    call = random.choice(CALLS)
    head, _, rest = request(call, key, form(random, {"person_id": NOBODY})).partition(b"\r\n\r\n")
    other = (
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\0" * 50,
    )
    damaged = random.choice((mutate(random, head), _with_line(random, head), random.choice(other)))
    return Probe("no_http", damaged + b"\r\n\r\n" + rest, silent=True, ends=random.random() < 0.5)


def _with_line(random: Random, head: bytes) -> bytes:
    """Return the head with one more line, which is invalid."""
    lines = (
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: xchunked",
        b" folded: x",
        b"no colon",
        b": no name",
        b"N\xc3\xa4me: x",
        b"A: " + b"x" * 20_000,
        b"A:\0",
        b"A: b\rC: d",
        b"Host: two",
        b"X-API-Key: two",
    )
    return head + b"\r\n" + random.choice(lines)


def chunked(random: Random, key: str) -> Probe:
    """Draw a chunked body, half of them broken."""
    call = random.choice(CALLS)
    kind, data = form(random, {"person_id": NOBODY}, images(random, call, corpus()[1][:2000]))
    step = random.choice((1, 7, 1000))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (data[at : at + step] for at in range(0, len(data), step)))
    body_ = chunks + b"0\r\n\r\n"
    broken = random.random() < 0.5
    raw = request(call, key, (kind, b""), headers={"Content-Length": None, "Transfer-Encoding": "chunked"})
    return Probe(
        "chunked",
        raw + (mutate(random, body_) if broken else body_),
        silent=broken,
        ends=broken and random.random() < 0.5,
    )


def hangup(random: Random, key: str) -> Probe:
    """Draw a search whose caller hangs up before its end or right after it."""
    raw = request(SEARCH_FACE, key, body(random, {}, {"img": corpus()[0]}))
    cut = len(raw) if random.random() < 0.5 else random.randrange(len(raw))
    return Probe("hangup", raw[:cut], ends=True)


def _parameters(random: Random) -> str:
    """Return random pieces of header parameters, up to the longest allowed header."""
    pieces = (";", " ", "=", '"', "\\", "(", "a", "a*0*", "charset", "boundary", "%41", "gbk")
    return ";" + "".join(random.choices(pieces, k=random.choice((3, 10, 1000))))


def _header_text(random: Random) -> str:
    """Return Latin-1 text without characters that end a header."""
    return "".join(
        chr(random.choice((*range(0x20, 0x7F), *range(0xA0, 0x100)))) for _ in range(random.randrange(1, 60))
    )
