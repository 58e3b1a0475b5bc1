"""Probes that are valid HTTP: valid requests, and requests with a damaged image, body, parameter or structure."""

from functools import cache
from random import Random
from urllib.parse import quote, urlencode

from fuzz.bodies import Body, body
from fuzz.mutations import TEXTS, corpus, image, mutate, unknown_face
from fuzz.probe import NOBODY, Probe, request
from hostile import DECODED, Hostile
from hostile_images import IMAGES
from shared.calls import CALLS, COMPARE_FACES, DELETE_FACE, SEARCH_FACE, Call, field_names
from shared.contract import MAX_IMAGE_BYTES

WITH_IMAGE = tuple(call for call in CALLS if call.image_parameters)
WITH_BODY = tuple(call for call in CALLS if call.has_body)
WITHOUT_BODY = tuple(call for call in CALLS if not call.has_body)
KNOWN = field_names(CALLS)
DECODABLE = {"OK", "NO_SIMILAR_FACE", "FACE_DETECT_FAILED"}


def images(random: Random, call: Call, image: bytes) -> dict[str, bytes]:
    """Return the image as one of the call's image parameters, beside valid ones; as `img` if the call takes none."""
    names = call.image_parameters or ("img",)
    return dict.fromkeys(names, corpus()[0]) | {random.choice(names): image}


def valid(random: Random, key: str) -> Probe:
    """Draw a valid request, to be answered correctly between all the others."""
    if random.random() < 0.2:
        raw = request(DELETE_FACE, key, body(random, {"person_id": NOBODY}))
        return Probe("valid", raw, DELETE_FACE, {"PERSON_ID_NOT_EXIST"}, 200)
    if random.random() < 0.2:
        raw = request(SEARCH_FACE, key, body(random, {}, {"img": unknown_face()}))
        return Probe("valid", raw, SEARCH_FACE, {"NO_SIMILAR_FACE"}, 200)
    call = random.choice(WITH_IMAGE)
    raw = request(call, key, body(random, {}, images(random, call, corpus()[0])))
    return Probe("valid", raw, call, {"OK"}, 200)


def damaged_image(random: Random, key: str) -> Probe:
    call = random.choice(WITH_IMAGE)
    return Probe("image", request(call, key, body(random, {}, images(random, call, image(random)))), call, (), 200)


def hostile_image(random: Random, key: str) -> Probe:
    """Draw a hostile image, unchanged or damaged."""
    chosen = random.choice(IMAGES)
    if random.random() < 0.5:
        return hostile(random, key, chosen)
    damaged = {"img": mutate(random, made(chosen))}
    return Probe("hostile", request(SEARCH_FACE, key, body(random, {}, damaged)), SEARCH_FACE, (), 200)


def hostile(random: Random, key: str, chosen: Hostile) -> Probe:
    """Return a probe with an unchanged hostile image and its expected statuses. It is never added, since many show the
    unknown face.
    """
    call = random.choice((SEARCH_FACE, COMPARE_FACES))
    statuses = DECODABLE if chosen.answer == DECODED else {chosen.answer}
    raw = request(call, key, body(random, {}, images(random, call, made(chosen))))
    return Probe("hostile", raw, call, statuses, 200)


@cache
def made(chosen: Hostile) -> bytes:
    """Return the image, made once: some take ten seconds, and all are 40 MB."""
    return chosen.make()


def damaged_body(random: Random, key: str) -> Probe:
    """Draw a valid body, damaged."""
    call = random.choice(CALLS)
    cut = images(random, call, corpus()[0][:3000]) if call in WITH_IMAGE else {}
    kind, data = body(random, {"person_id": NOBODY, "name": "x"}, cut)
    return Probe("body", request(call, key, (kind, mutate(random, data))), call, (), 200)


def parameters(random: Random, key: str) -> Probe:
    """Draw a well-formed body with invalid values."""
    call = random.choice(CALLS)
    names = [*KNOWN.texts, *KNOWN.images, "", "status", _text(random)]
    fields = {name: _text(random) for name in random.sample(names, random.randrange(4))}
    cut = images(random, call, corpus()[0][:2000])
    content = body(random, fields, {name: image for name, image in cut.items() if name not in fields})
    return Probe("parameters", request(call, key, content), call, (), 200)


def query_string(random: Random, key: str) -> Probe:
    """Draw a request without a body, with a query string that is valid, odd or damaged."""
    call = random.choice(WITHOUT_BODY)
    names = [*call.parameters.model_fields, "x"]
    pairs = [(random.choice(names), _text(random)[:200]) for _ in range(random.randrange(4))]
    written = urlencode(pairs) if random.random() < 0.5 else "&".join(f"{name}={quote(text)}" for name, text in pairs)
    if random.random() < 0.5:
        written = mutate(random, written.encode()).decode("latin-1")
    # What ends a target, or a line that is too long, is another probe's subject.
    target = "".join(sign for sign in written if "!" <= sign <= "~" and sign != "#")[:4000]
    raw = request(call, key, ("", b""), headers={"Content-Type": None, "Content-Length": None}, query=f"?{target}")
    return Probe("query", raw, call, (), 200)


def structure(random: Random, key: str) -> Probe:
    """Draw a body that is large or deep."""
    content: Body = random.choice(
        (
            ("application/json", b"[" * 50_000),
            ("application/json", b'{"a":' * 20_000),
            ("application/json", b'{"img":' + b"9" * 100_000 + b"}"),
            ("application/json", b'{"x":[' + b"0," * 50_000 + b"0]}"),
            ("application/json", b'{"name":"a","name":"b"}'),
            ("application/json; charset=utf-16", '{"name":"a"}'.encode("utf-16")),
            ("application/x-www-form-urlencoded", b"&" * 100_000),
            ("application/x-www-form-urlencoded", b"a=b&" * 20_000),
            ("application/x-www-form-urlencoded", b"name=a&name=b"),
            ("application/x-www-form-urlencoded", b"%" * 100_000),
            ("multipart/form-data", b""),
            ("multipart/form-data; boundary=", b"--\r\n\r\n--"),
            ("multipart/form-data; boundary=b", b"--b\r\n" * 10_000),
            ("multipart/form-data; boundary=b", b"--b\r\nA: " + b"x" * 100_000 + b"\r\n\r\n--b--"),
            ("multipart/mixed; boundary=b", b"--b\r\n\r\n--b--"),
            ("text/html", b"<script>alert(1)</script>"),
            ("", b"img=x"),
        )
    )
    call = random.choice(WITH_BODY)
    return Probe("structure", request(call, key, content), call, {"INVALID_REQUEST"}, 200)


def large(random: Random, key: str) -> Probe:
    """Draw an image of more than 2M, or a body that no valid request can have."""
    call = random.choice(WITH_IMAGE)
    size = random.choice((MAX_IMAGE_BYTES + 1, MAX_IMAGE_BYTES + 1, 3 * MAX_IMAGE_BYTES, 6 * MAX_IMAGE_BYTES))
    content = body(random, {}, images(random, call, corpus()[0].ljust(size, b"\0")))
    return Probe("large", request(call, key, content), call, {"IMAGE_INVALID_SIZE", "INVALID_REQUEST"}, 200)


def _text(random: Random) -> str:
    return (
        random.choice(
            (
                "",
                "x" * random.choice((64, 65, 128, 129, 10_000)),
                "".join(chr(random.randrange(1, 0xD7FF)) for _ in range(random.randrange(1, 40))),
                random.choice(TEXTS).decode("latin-1"),
                "<script>alert(1)</script>",
                "'; DROP TABLE faces --",
                "../../etc/passwd",
                "default",
                random.choice(("all", "largest", "one")),
                "${jndi:ldap://x}",
                "{{7*7}}",
                "\ud800",
                NOBODY,
                f"{{{NOBODY}}}",
                "null",
            )
        )
        .encode(errors="replace" if random.random() < 0.9 else "surrogatepass")
        .decode(errors="replace")
    )
