"""Hostile inputs through the code of the gateway and the worker, without sockets."""

import asyncio
from functools import cache
from unittest.mock import Mock
from urllib.parse import urlencode

import pybase64
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request

from gateway import images, uploads
from gateway.uploads import Parameters
from hostile import PARSED
from shared.errors import ContractError
from shared.settings import Settings
from worker.faces.decode import decode

PIECE = 64 * 1024
"""Of a body, as the socket delivers it."""


def parse(body: bytes, content_type: str) -> Parameters:
    """The parameters of a body as the gateway reads it from a socket. Raises ContractError."""
    return _runner().run(_parse(body, content_type))


@cache
def _runner() -> asyncio.Runner:
    """One loop for all: its start is no input's cost."""
    return asyncio.Runner()


async def _parse(body: bytes, content_type: str) -> Parameters:
    content = StreamReader(Mock(BaseProtocol), 2**16, loop=asyncio.get_running_loop())
    for at in range(0, len(body), PIECE):
        content.feed_data(body[at : at + PIECE])
    content.feed_eof()
    headers = {"Content-Type": content_type} if content_type else {}
    app = web.Application()
    return await uploads.read(make_mocked_request("POST", "/v1/addface", headers=headers, payload=content, app=app))


def answer_to_body(body: bytes, content_type: str) -> str:
    """The contract status, or PARSED."""
    try:
        parse(body, content_type)
    except ContractError as error:
        return error.status.value
    return PARSED


def as_form(image: bytes) -> bytes:
    return urlencode({"img": pybase64.b64encode(image)}).encode()


def through_gateway(form: bytes) -> bytes:
    """An image out of a form, checked as the gateway does. Raises ContractError."""
    img = parse(form, "application/x-www-form-urlencoded").img
    assert img is not None
    image = images.decode_base64(img)
    images.check(image, Settings.model_fields["max_pixels"].default)
    return image


def through_worker(image: bytes) -> None:
    """Raises ContractError."""
    decode(image)
