"""Parsing header values with parameters: Content-Type of a request, Content-Type and Content-Disposition of a part.

No pattern backtracks, so parsing takes time in proportion to the length. aiohttp uses the standard library's e-mail
parser, which does not.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from shared.errors import InvalidRequest

MAX_CHARACTERS: Final = 8192
"""Most characters of a value, as in aiohttp for a header of a request."""

MAX_PARAMETERS: Final = 32
"""Three are used."""

_MAIN: Final = re.compile(r"[^;]*+")
_SEPARATOR: Final = re.compile(r"[ \t]*+;[; \t]*+")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*+")
_EQUALS: Final = re.compile(r"[ \t]*+=[ \t]*+")
# More than tokens: unquoted boundaries contain slashes and equals signs.
_PLAIN: Final = re.compile(r'[^\s;"]*+')
_QUOTED: Final = re.compile(r'(?s:"((?:[^"\\]|\\.)*+)")')


@dataclass(frozen=True)
class HeaderValue:
    """main: the text before the parameters, in lower case. parameters: values by name, names in lower case."""

    main: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse(text: str, header: str) -> HeaderValue:
    r"""Parse a value of that header. In a quoted parameter a backslash escapes a quote and itself, and is literal
    before any other character. A quoted parameter without a closing quote ends with the value, as browsers write a name
    like `a\`. A parameter without `=` is ignored.

    Raises InvalidRequest for a value that is too long, has too many parameters, gives two values to one parameter, or
    has anything but a parameter after a semicolon.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidRequest(f"{header} is longer than {MAX_CHARACTERS} characters")
    main = _MAIN.match(text)
    at = main.end() if main else 0
    parameters: dict[str, str] = {}
    for _ in range(MAX_PARAMETERS):
        separator = _SEPARATOR.match(text, at)
        if separator is None:
            break
        at = separator.end()
        name, value, at = _parameter(text, at)
        if value is not None and parameters.setdefault(name, value) != value:
            raise InvalidRequest(f"{header} has two different values of one parameter")
    if _SEPARATOR.match(text, at):
        raise InvalidRequest(f"{header} has more than {MAX_PARAMETERS} parameters")
    if text[at:].strip(" \t"):
        raise InvalidRequest(f"{header} is malformed; write it as {_EXAMPLES[header]}")
    return HeaderValue(text[: main.end() if main else 0].strip().lower(), parameters)


def _parameter(text: str, at: int) -> tuple[str, str | None, int]:
    """Return the name, the value if there is one, and the end of the parameter at that index."""
    name = _NAME.match(text, at)
    end = name.end() if name else at
    equals = _EQUALS.match(text, end)
    if end == at or equals is None:
        return "", None, end
    start = equals.end()
    quoted = _QUOTED.match(text, start)
    if quoted is not None:
        return text[at:end].lower(), _unescaped(quoted[1]), quoted.end()
    rest = text[start:].rstrip(" \t")
    if rest.startswith('"') and rest.endswith('\\"'):
        return text[at:end].lower(), _unescaped(rest[1:-2]) + "\\", len(text)
    plain = _PLAIN.match(text, start)
    return text[at:end].lower(), plain[0] if plain else "", plain.end() if plain else start


def _unescaped(text: str) -> str:
    """Remove backslashes that escape a quote or a backslash. Takes a tenth of the time of a pattern."""
    return "\\".join(part.replace('\\"', '"') for part in text.split("\\\\"))


_EXAMPLES: Final = {
    "Content-Type": "multipart/form-data; boundary=x or application/json; charset=utf-8",
    "Content-Type of a part": "text/plain; charset=utf-8",
    "Content-Disposition": "form-data; name=img; filename=photo.jpg",
}
