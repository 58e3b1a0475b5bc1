"""How long a caller may take. One set of numbers, given to the server and read where each applies."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web


@dataclass(frozen=True)
class Timeouts:
    """All in seconds but for body_rate, in bytes a second.

    header_s: from a connection's start, or the first byte of a later request, to the end of its headers. 10: three
    lost packets on the worst mobile network.
    body_s: for a whole body. 30: the largest valid form at 2.3 Mbit/s, one with two images at 4.5.
    body_grace_s, body_rate: a body is cut off once it is late behind `body_grace_s + bytes so far / body_rate`. 5 s and
    16 kB/s: a mobile network of twenty years ago, and a sender of single bytes is gone after 5 s.
    idle_s: for a connection between two requests. 75: aiohttp's and nginx's default, longer than most clients' pools.
    linger_s: for the rest of a body whose answer is known. 1: enough for the answer to arrive before the connection is
    reset; a flood is not read for longer.
    """

    header_s: float = 10
    body_s: float = 30
    body_grace_s: float = 5
    body_rate: float = 16_000
    idle_s: float = 75
    linger_s: float = 1


TIMEOUTS: Final = web.AppKey("timeouts", Timeouts)
