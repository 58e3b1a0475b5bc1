"""Parameters outside a body: those of the query string of a request that has no body, and those in a path."""

from collections.abc import Collection
from typing import Final

from aiohttp import web

from gateway.body.uploads import Parameters
from gateway.body.urlencoded import Form, Kept
from shared.errors import BodyUnreadable, InvalidRequest

_MAX_BYTES: Final = 8192
"""Bound on a value: longer than any line of HTTP that is read."""


def read_query(request: web.Request, known: Collection[str]) -> Parameters:
    """Return the parameters of these names in the query string, in UTF-8; others are ignored.

    Raises InvalidRequest as for a form, and BodyUnreadable if the request has a body: what is in it would be lost.
    """
    if request.body_exists:
        raise BodyUnreadable(f"{request.method} takes its parameters in the query string, and no body")
    form = Form({name.encode(): Kept(_MAX_BYTES) for name in known}, "query string")
    form.feed(request.rel_url.raw_query_string.encode(errors="surrogateescape"))
    parameters = Parameters()
    names = {name.encode(): name for name in known}
    for written, value in form.close():
        if written in names:
            _add(parameters, names[written], value)
    return parameters


def add_path_parameters(request: web.Request, names: Collection[str], parameters: Parameters) -> None:
    """Add the parameters of these names in the path. Raises InvalidRequest for one that is given elsewhere, too."""
    for name in names:
        _add(parameters, name, request.match_info[name].encode(errors="surrogateescape"))


def _add(parameters: Parameters, name: str, value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError:  # said here, since a Content-Type could not help
        raise InvalidRequest(f"{name} is not UTF-8") from None
    parameters.add_text(name, value)
