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
"""Bytes of a body that arrive at a time."""


def parse(
    body: bytes,
    content_type: str,
    images: Sequence[str] = ("img",),
    hold: Callable[[int], None] = lambda _size: None,
) -> Parameters:
    """Return the parameters of a body as the gateway reads it from a socket. images: the image parameters of the call.
    hold: called with the number of held bytes. Raises ContractError, and any exception of `hold`.
    """
    return _runner().run(_parse(body, content_type, images, hold))


@cache
def _runner() -> asyncio.Runner:
    """Return the one event loop of all inputs, so that its start does not count as cost of an input."""
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
    """Return the contract status of the answer, or PARSED."""
    try:
        parse(body, content_type)
    except ContractError as error:
        return error.status.value
    return PARSED


def as_form(image: bytes) -> bytes:
    return urlencode({"img": pybase64.b64encode(image)}).encode()


def through_gateway(form: bytes) -> bytes:
    """Return the image of a form after the checks of the gateway. Raises ContractError."""
    image = encoded_images.decode_base64(parse(form, "application/x-www-form-urlencoded").images["img"])
    encoded_images.check(image, Settings.model_fields["max_pixels"].default)
    return image


def through_worker(image: bytes) -> None:
    """Decode an image as a worker does. Raises ContractError."""
    decode(image)
