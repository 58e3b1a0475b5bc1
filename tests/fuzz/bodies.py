"""Well-formed bodies of the three content types, which mutations then damage."""

import base64
import json
from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from urllib.parse import urlencode

BOUNDARY = "fuzz-8f1d"

Body = tuple[str, bytes]
"""Content type and content of a body."""

NONE: Mapping[str, bytes] = MappingProxyType({})
"""No images."""


def body(random: Random, fields: Mapping[str, str], images: Mapping[str, bytes] = NONE) -> Body:
    """Return a body of any content type with these fields and images."""
    return random.choice((form, multipart, document))(random, fields, images)


def form(random: Random, fields: Mapping[str, str], images: Mapping[str, bytes] = NONE) -> Body:
    given = [*fields.items(), *((name, _base64(random, image)) for name, image in images.items())]
    charset = random.choice(("", "", "; charset=utf-8"))
    return f"application/x-www-form-urlencoded{charset}", urlencode(given).encode()


def multipart(random: Random, fields: Mapping[str, str], images: Mapping[str, bytes] = NONE) -> Body:
    parts = [_part(f'name="{name}"', value.encode(errors="surrogatepass")) for name, value in fields.items()]
    for name, image in images.items():
        filename = random.choice(('; filename="p.jpg"', '; filename="name=x; p.jpg"', ""))
        as_base64 = _part(f'name="{name}"{filename}', _base64(random, image).encode())
        parts.append(_part(f'name="{name}"; filename="p.jpg"', image) if random.random() < 0.7 else as_base64)
    random.shuffle(parts)
    return f"multipart/form-data; boundary={BOUNDARY}", b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def document(random: Random, fields: Mapping[str, str], images: Mapping[str, bytes] = NONE) -> Body:
    given = dict(fields) | {name: _base64(random, image) for name, image in images.items()}
    return "application/json", json.dumps(given, ensure_ascii=random.random() < 0.5).encode(errors="surrogatepass")


def _base64(random: Random, image: bytes) -> str:
    """Return the image in base64, in one of the forms that callers use."""
    text = base64.b64encode(image).decode()
    match random.randrange(6):
        case 0:
            kind = random.choice(
                ("image/jpeg", "image/*", "", "image/jpeg;name=a.jpg", "application/octet-stream; x=y")
            )
            return f"data:{kind};base64,{text}"
        case 1:
            return text.rstrip("=")
        case 2:
            return text.replace("+", "-").replace("/", "_")
        case 3:
            return "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
        case _:
            return text


def _part(disposition: str, value: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + value + b"\r\n"
