"""Random values of Content-Type and Content-Disposition for their parser: each is read or refused, and quickly."""

import random
import time
from collections import Counter

from gateway.body.header_values import MAX_CHARACTERS, parse
from shared.errors import InvalidRequest

COUNT = 1_000_000

SLOW_S = 1e-3
"""The most processor seconds of one value: the event loop serves nobody else meanwhile."""

TRIES = 50
"""A slow value is read again this often; the least time counts."""

HEADERS = ("Content-Type", "Content-Type of a part", "Content-Disposition")

STARTS = ("", "application/x-www-form-urlencoded", "multipart/form-data", "form-data", "a", "*", "/", ";", '"')

PIECES = (
    *('"', "\\", '\\"', ";", "=", " ", "\t", "(", ")", "<", ">", "@", ",", ":", "/", "[", "]", "?", "{", "}", "'", "%"),
    *(
        "*",
        "*0",
        "*0*",
        "*=",
        "utf-8''",
        "%41",
        "=?utf-8?q?a?=",
        "=?utf-8?b?YQ==?=",
        "\0",
        "\x7f",
        "\x80",
        "\udcff",
        "é",
    ),
    *("a", "x1", "name", "filename", "boundary", "charset", "; a", ';x="', '="\\', '";"', "(((", " ; ", ";;", "\r\n "),
)


def value(source: random.Random) -> str:
    """Return a value of up to twice the allowed length; most are short, and many repeat one piece."""
    parts = [source.choice(STARTS)]
    for _ in range(source.randrange(1, 9)):
        some = "".join(source.choices(PIECES, k=source.randrange(1, 5)))
        parts.append(some * (1 if source.random() < 0.7 else source.randrange(1, 3000 // len(some))))
    return "".join(parts)[: 2 * MAX_CHARACTERS]


def read(text: str, header: str) -> str:
    """Return whether a value is read or refused. Raises any other error of the parser."""
    try:
        parse(text, header)
    except InvalidRequest:
        return "refused"
    return "read"


def processor_s(text: str, header: str) -> float:
    start = time.thread_time()
    read(text, header)
    return time.thread_time() - start


def run(count: int, seed: int) -> str:
    """Read that many values and return a summary line. Raises AssertionError for a slow one."""
    source = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    became: Counter[str] = Counter()
    slowest = 0.0
    for number in range(count):
        text, header = value(source), HEADERS[number % len(HEADERS)]
        start = time.thread_time()
        try:
            became[read(text, header)] += 1
        except Exception as error:
            error.add_note(f"value {number} of seed {seed}: {text[:200]!r}")
            raise
        took = time.thread_time() - start
        if took > slowest:
            took = min(took, *(processor_s(text, header) for _ in range(TRIES)))
            slowest = max(slowest, took)
            assert took <= SLOW_S, f"value {number} of seed {seed} takes {took * 1e3:.1f} ms: {text[:200]!r}"
    return f"header values: {dict(sorted(became.items()))}, the slowest {slowest * 1e3:.2f} ms"
