"""`curl …` and requests such as `GET /v1/persons`: paths, methods, parameters and headers, by the OpenAPI documents."""

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from contract.commands.pages import ROOT, WrongError

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
REQUEST: Final = re.compile(rf"({'|'.join(METHODS)}) (/\S+|…/\S+)")

WITHOUT_VALUE: Final = frozenset({"-s", "-S", "-i", "-f", "--fail"})
WITH_VALUE: Final = frozenset({"-w", "-H", "-F", "-d", "--data-urlencode", "-X", "-o", "--max-time"})

BASES: Final = {"URL": "", "FACESEARCH_URL": "", "ADMIN": "/admin/v1"}
"""Paths of addresses that documents keep in variables."""

OF_OTHERS: Final = {
    "/collections/": "Qdrant",
    "/cluster/": "Qdrant",
    "/metrics": "what Prometheus scrapes, which is no call",
    "/docs": "a page for browsers",
}
"""Beginnings of paths that no OpenAPI document of ours has, and their reason."""

ANY: Final = re.compile(r"\{\w+\}|[A-Z][A-Z_]*|\$\w+|[0-9a-f-]{36}|[0-9a-f]{12}|…")
"""What stands for a value in a path."""


@dataclass
class Request:
    """What a call sends: names of parameters in the query and in the body, and of headers."""

    method: str
    path: str
    query: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)


def check_curl(arguments: list[str]) -> None:
    """A function of a page, as in `ask() { curl $URL/$1; }`, has no path of its own. Raises WrongError."""
    call = request([each for each in arguments if each != "${@:2}"])
    if call.path != "/$1":
        check(call)


def check_line(text: str) -> None:
    """Check a request as it is written in a sentence."""
    found = REQUEST.fullmatch(text)
    if found is None:
        raise WrongError(f"{text}: not METHOD /path")
    path, _, query = found[2].partition("?")
    names = [each.partition("=")[0] for each in query.split("&") if each]
    check(Request(found[1], path.replace("…", "/admin/v1", 1) if path.startswith("…") else path, names))


def request(arguments: list[str]) -> Request:
    """Return the request that curl with these arguments sends. Raises WrongError."""
    method, url = "", ""
    body: list[str] = []
    headers: list[str] = []
    given = iter(arguments)
    for argument in given:
        if argument in WITH_VALUE or argument[:2] in WITH_VALUE:
            short = argument not in WITH_VALUE
            option, value = (argument[:2], argument[2:]) if short else (argument, next(given, ""))
            if option == "-X":
                method = value
            elif option == "-H":
                headers.append(value.partition(":")[0])
            elif option in ("-F", "-d", "--data-urlencode"):
                body += _names(value)
        elif argument.startswith("-"):
            letters = {f"-{letter}" for letter in argument[1:]} if argument[1:2] != "-" else {argument}
            if not letters <= WITHOUT_VALUE:
                raise WrongError(f"curl {argument}: no option that tests/contract/commands/http_calls.py knows")
        elif url:
            raise WrongError(f"curl has two addresses: {url} and {argument}")
        else:
            url = argument
    if not url:
        raise WrongError("curl has no address")
    path, query = _path(url)
    return Request(method or ("POST" if body else "GET"), path, query, body, headers)


def _names(value: str) -> list[str]:
    """Return the names of parameters in a piece of a body."""
    if value.startswith("{"):
        try:
            return list(json.loads(value))
        except ValueError as error:
            raise WrongError(f"the body {value} is not JSON: {error}") from error
    return [re.split("[=@]", value)[0]] if "&" not in value else [name for name, _ in parse_qsl(value)]


def _path(url: str) -> tuple[str, list[str]]:
    base = re.match(r"\$\{?(\w+)\}?", url)
    if base:
        if base[1] not in BASES:
            raise WrongError(f"the address ${base[1]}: tests/contract/commands/http_calls.py knows {', '.join(BASES)}")
        url = f"http://host{BASES[base[1]]}{url[base.end() :]}"
    split = urlsplit(url)
    if split.scheme not in ("http", "https"):
        raise WrongError(f"{url} is no address")
    return split.path, [name for name, _ in parse_qsl(split.query, keep_blank_values=True)]


def check(call: Request) -> None:
    """Raises WrongError where no OpenAPI document has such a call."""
    if any(call.path.startswith(path) for path in OF_OTHERS):
        return
    found = [operation for template, operation in operations() if _fits(template, call)]
    if not found:
        raise WrongError(f"{call.method} {call.path}: no OpenAPI document has it; see docs/openapi.json")
    for kind, given, known in (
        ("parameter of the query", call.query, found[0]["query"]),
        ("parameter", call.body, found[0]["body"]),
        ("header", [each.lower() for each in call.headers], found[0]["headers"]),
    ):
        for name in given:
            if name not in known:
                raise WrongError(f"{call.method} {call.path}: {name} is no {kind} of it; it has {', '.join(known)}")


def _fits(template: tuple[str, str], call: Request) -> bool:
    method, path = template
    here, there = path.split("/"), call.path.split("/")
    return (
        method == call.method
        and len(here) == len(there)
        and all(
            a == b or (a.startswith("{") and ANY.fullmatch(b)) or _named(a, b) for a, b in zip(here, there, strict=True)
        )
    )


def _named(template: str, given: str) -> bool:
    """Tell whether it is the name of a tenant or facedb in its place."""
    return template in ("{tenant}", "{facedb}") and re.fullmatch(r"[\w-]{1,64}", given) is not None


@cache
def operations() -> list[tuple[tuple[str, str], dict[str, list[str]]]]:
    """Return method and path of each operation, with what it takes."""
    found = []
    for name in ("openapi.json", "openapi-admin.json"):
        document = json.loads((ROOT / "docs" / name).read_text())
        keys = [scheme["name"].lower() for scheme in document["components"]["securitySchemes"].values()]
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                parameters = operation.get("parameters", [])
                takes = {
                    "query": [each["name"] for each in parameters if each["in"] == "query"],
                    "headers": [*keys, "content-type", *(p["name"].lower() for p in parameters if p["in"] == "header")],
                    "body": _properties(document, operation),
                }
                found.append(((method.upper(), path), takes))
    return found


def _properties(document: dict[str, Any], operation: dict[str, Any]) -> list[str]:
    named: dict[str, None] = {}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        named |= dict.fromkeys(schema["properties"])
    return list(named)
