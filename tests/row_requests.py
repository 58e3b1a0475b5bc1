"""Requests of any call of the table, made from its row: parameters go into the path, the query string or the body."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from shared.calls import Call


@dataclass(frozen=True)
class RowRequest:
    """A request. target: its path and query string. form: the fields of its body."""

    method: str
    target: str
    form: dict[str, str]


def row_request(call: Call, parameters: Mapping[str, str]) -> RowRequest:
    """Return a request of the call. parameters: all of them, images in base64. One of the path that is
    missing or empty is -.
    """
    path = call.path.format(**{name: quote(parameters.get(name) or "-", safe="") for name in call.path_parameters})
    others = {name: value for name, value in parameters.items() if name not in call.path_parameters}
    if call.has_body:
        return RowRequest(call.method, path, others)
    return RowRequest(call.method, f"{path}?{urlencode(others)}" if others else path, {})
