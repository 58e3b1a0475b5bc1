"""Hostile inputs through the code of the gateway and the worker, without sockets."""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from unittest.mock import Mock
from urllib.parse import urlencode

import pybase64
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request

from gateway.body import encoded_images, uploads
from gateway.body.uploads import Parameters
from hostile import PARSED
from shared.errors import ContractError
from shared.settings import Settings
from worker.vision.decode import decode

PIECE = 64 * 1024
"""Of a body, as the socket delivers it."""


def parse(
    body: bytes,
    content_type: str,
    images: Sequence[str] = ("img",),
    hold: Callable[[int], None] = lambda _size: None,
) -> Parameters:
    """The parameters of a body as the gateway reads it from a socket. images: those that the call takes. hold: is told
    how many bytes are held. Raises ContractError, and what `hold` raises.
    """
    return _runner().run(_parse(body, content_type, images, hold))


@cache
def _runner() -> asyncio.Runner:
    """One loop for all: its start is no input's cost."""
    return asyncio.Runner()


async def _parse(body: bytes, content_type: str, images: Sequence[str], hold: Callable[[int], None]) -> Parameters:
    content = StreamReader(Mock(BaseProtocol), 2**16, loop=asyncio.get_running_loop())

    async def arrive() -> None:
        for at in range(0, len(body), PIECE):
            content.feed_data(body[at : at + PIECE])
            await asyncio.sleep(0)
        content.feed_eof()

    headers = {"Content-Type": content_type} if content_type else {}
    app = web.Application()
    request = make_mocked_request("POST", "/v1/addface", headers=headers, payload=content, app=app)
    arriving = asyncio.create_task(arrive())
    try:
        return await uploads.read(request, *images, hold=hold)
    finally:
        arriving.cancel()


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
    image = encoded_images.decode_base64(parse(form, "application/x-www-form-urlencoded").images["img"])
    encoded_images.check(image, Settings.model_fields["max_pixels"].default)
    return image


def through_worker(image: bytes) -> None:
    """Raises ContractError."""
    decode(image)
