"""Limits on how long a caller may take. The server passes one set of them to everything that applies one."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web


@dataclass(frozen=True)
class Timeouts:
    """Times in seconds, rates in bytes a second, sizes in bytes.

    header_s: from a connection's start, or the first byte of a later request, to the end of its headers. 10: three
    lost packets on the worst mobile network.
    body_s: for a whole body. 30: the largest valid form at 2.3 Mbit/s, one with two images at 4.5.
    body_grace_s, body_rate: a body is cut off once it arrives later than `body_grace_s + bytes so far / body_rate`. 5 s
    and 16 kB/s: a mobile network of twenty years ago, and a sender of single bytes is gone after 5 s.
    idle_s: for a connection between two requests. 75: aiohttp's and nginx's default, longer than most clients' pools.
    settle_s: how long an answer that is ready before its request has arrived waits for the rest, so that the connection
    can be kept. 0.1: enough for bytes in transit in a local network, and too short to be noticed.
    linger_s, linger_bytes: for bytes that are still sent after an answer that ends the connection. They are discarded,
    and may arrive as slowly as a body, so that the caller can read the answer before the connection is closed. 30 s, as
    for a body; 32 MiB: a photo of 24 MB in base64, which is more than cameras write.
    answer_read_s, answer_read_bytes: a caller that reads fewer than answer_read_bytes of a waiting answer in
    answer_read_s is cut off. 10 s, as for headers; 16 kB, a tenth of what a body has to make.
    """

    header_s: float = 10
    body_s: float = 30
    body_grace_s: float = 5
    body_rate: float = 16_000
    idle_s: float = 75
    settle_s: float = 0.1
    linger_s: float = 30
    linger_bytes: int = 32 * 1024 * 1024
    answer_read_s: float = 10
    answer_read_bytes: int = 16_000


TIMEOUTS: Final = web.AppKey("timeouts", Timeouts)
