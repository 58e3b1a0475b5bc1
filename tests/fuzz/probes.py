"""The kinds of probes and how often each is sent."""

from collections.abc import Callable, Mapping
from random import Random

from fuzz import contents, transport
from fuzz.probe import Probe

Kinds = Mapping[Callable[[Random, str], Probe], float]

KINDS: Kinds = {
    contents.valid: 10,
    contents.damaged_image: 35,
    contents.damaged_body: 12,
    contents.parameters: 12,
    contents.query_string: 8,
    contents.structure: 5,
    contents.large: 1,
    transport.wrong_key: 4,
    transport.headers: 5,
    transport.path: 4,
    transport.later: 4,
    transport.look_up: 2,
    transport.no_http: 5,
    transport.chunked: 3,
    transport.hangup: 4,
}
"""Kinds of probes and their weights."""


WITH_HOSTILE = {**KINDS, contents.hostile_image: 2}
"""KINDS and hostile images, which take half a minute to make."""


def draw(random: Random, key: str, kinds: Kinds) -> Probe:
    """Draw a probe. key: of the tenant that sends it."""
    (kind,) = random.choices(list(kinds), weights=list(kinds.values()))
    return kind(random, key)
