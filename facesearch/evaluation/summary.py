"""An evaluation in plain words and tables, for the terminal and for the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from facesearch.evaluation import metrics
from facesearch.evaluation.result import FARS, LIBRARIES, PROTOCOL, Evaluation, Rate

FEW: Final = 10
"""Impostor pairs below which a rate of theirs is mostly chance."""


@dataclass(frozen=True)
class Table:
    """A table. text: its explanation, in sentences."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: str


def summary(found: Evaluation) -> list[str]:
    """Return what was evaluated, a sentence a line."""
    tally, pairs = found.tally, found.pairs
    lines = [f"{tally.photos:,} photos of {tally.people:,} people; a face was found on {tally.detected:,}."]
    if tally.photos > tally.detected:
        lines.append(
            f"No face on {tally.without_face:,}, one that is shown too badly on {tally.poor:,}: all their pairs of one "
            "person count as refused, and nobody is found by them."
        )
    if tally.skipped or tally.unreadable:
        lines.append(
            f"Left out: {tally.skipped:,} that are no JPEG, PNG or BMP in a person's folder, {tally.unreadable:,} that "
            "cannot be read."
        )
    lines.append(f"Compared: {pairs.genuine_count:,} pairs of one person, {pairs.impostor_count:,} of strangers.")
    lines.append(f"Models: {found.model}, {found.detector}.")
    return lines


def tables(found: Evaluation) -> list[Table]:
    """Return all results."""
    return [_accepts(found), _ranks(found), *([_levels(found), _libraries(found)] if found.levels else [])]


def _accepts(found: Evaluation) -> Table:
    impostors = found.pairs.impostor_count
    rows = [
        (_one_in(FARS[name]), *_percent(rate), f"{metrics.nth(FARS[name], impostors):,}")
        for name, rate in found.tar_at_far.items()
    ]
    few = [name for name in found.tar_at_far if metrics.nth(FARS[name], impostors) < FEW]
    text = (
        "Were a threshold set so that this part of the strangers gets in, so many pairs of one person would. Both are "
        f"refused and let in alike, the equal error rate, at {found.eer:.2%}. Intervals are of 95 %: other people, as "
        "many, would give a number in there. "
    )
    if few:
        text += f"Fewer than {FEW} pairs of strangers say where 1 in {1 / FARS[few[0]]:,.0f} is: that is mostly chance."
    return Table(
        "People told apart",
        ("STRANGERS LET IN", "SAME PERSON ACCEPTED", "95 % INTERVAL", "PAIRS OF STRANGERS"),
        tuple(rows),
        text.strip(),
    )


def _ranks(found: Evaluation) -> Table:
    rows = [
        ("the first" if rank == 1 else f"the first {rank}", *_percent(rate), f"{rate.count:,} of {rate.total:,}")
        for rank, rate in found.ranks.items()
    ]
    head = ("THE RIGHT PERSON IS AMONG", "OF PROBES", "95 % INTERVAL", "COUNT")
    return Table(f"People found among {found.gallery:,}", head, tuple(rows), PROTOCOL)


def _levels(found: Evaluation) -> Table:
    rows = [
        (
            str(level.confidence),
            _one_in(level.far.part),
            f"{_one_in(level.far.interval[0])} to {_one_in(level.far.interval[1])}",
            f"{level.far.count:,}",
            *_percent(level.frr),
            f"{level.frr.count:,}",
        )
        for level in found.levels
    ]
    head = ("CONFIDENCE", "STRANGERS LET IN", "95 % INTERVAL", "PAIRS", "SAME PERSON REFUSED", "95 % INTERVAL", "PAIRS")
    text = "What a limit on the confidence does: who is listed and should not be, and who is not and should be."
    return Table("What a confidence does", head, tuple(rows), text)


def _libraries(found: Evaluation) -> Table:
    rows = [
        (
            f"{faces:,}",
            str(level.confidence),
            f"{metrics.expected_impostors(level.far.part, faces):.3g}",
            f"{metrics.expected_impostors(level.far.interval[1], faces):.3g}",
            f"{metrics.chance_of_impostor(level.far.part, faces):.1%}",
        )
        for faces in LIBRARIES
        for level in found.levels
    ]
    head = ("FACES IN THE LIBRARY", "CONFIDENCE", "STRANGERS LISTED", "AT MOST, BY THE INTERVAL", "CHANCE OF ANY")
    text = (
        "A search compares with everybody. So many strangers are to be expected in the answer to one search for "
        "somebody who is not in the library; the chance of at least one is an upper bound, since some faces look like "
        "many and most like nobody."
    )
    return Table("What that means for a library", head, tuple(rows), text)


def _percent(rate: Rate) -> Sequence[str]:
    low, high = rate.interval
    return f"{rate.part:.2%}", f"{low:.2%} to {high:.2%}"


def _one_in(part: float) -> str:
    if part >= 0.1:
        return f"{part:.0%}"
    return f"1 in {1 / part:,.0f}" if part else "none"
