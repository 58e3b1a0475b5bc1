"""An evaluation as sentences and tables, for the terminal and for the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from facesearch.evaluation import metrics
from facesearch.evaluation.result import FARS, LIBRARIES, PROTOCOL, Evaluation, Rate

FEW: Final = 10
"""Impostor pairs below which a FAR is mostly chance."""


@dataclass(frozen=True)
class Table:
    """A table. text: its explanation, in sentences."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: str


def summary(found: Evaluation) -> list[str]:
    """Return what was evaluated, one sentence a line."""
    tally, pairs = found.tally, found.pairs
    lines = [f"{tally.photos:,} photos of {tally.people:,} people; a face was found on {tally.detected:,}."]
    if tally.photos > tally.detected:
        lines.append(
            f"No face on {tally.without_face:,}, a face of too poor quality on {tally.poor:,}: all their genuine pairs "
            "count as refused, and as probes they find nobody."
        )
    if tally.skipped or tally.unreadable:
        lines.append(
            f"Left out: {tally.skipped:,} that are no JPEG, PNG or BMP in a person's folder, {tally.unreadable:,} that "
            "cannot be read."
        )
    lines.append(f"Compared: {pairs.genuine_count:,} genuine pairs, {pairs.impostor_count:,} impostor pairs.")
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
        "TAR is the part of genuine pairs (two photos of one person) that reach the threshold at which the FAR, the "
        "part of impostor pairs (photos of two people) that reach it, is the given one. The equal error rate, where "
        f"FAR and FRR are the same, is {found.eer:.2%}. Evaluations with as many other people would lie within the "
        "95 % intervals. "
    )
    if few:
        text += f"Fewer than {FEW} impostor pairs reach the threshold of 1 in {1 / FARS[few[0]]:,.0f}: mostly chance."
    return Table(
        "Verification",
        ("FAR", "TAR", "95 % INTERVAL", "IMPOSTOR PAIRS"),
        tuple(rows),
        text.strip(),
    )


def _ranks(found: Evaluation) -> Table:
    rows = [
        ("the first" if rank == 1 else f"the first {rank}", *_percent(rate), f"{rate.count:,} of {rate.total:,}")
        for rank, rate in found.ranks.items()
    ]
    head = ("THE RIGHT PERSON IS AMONG", "OF PROBES", "95 % INTERVAL", "COUNT")
    return Table(f"Identification among {found.gallery:,} people", head, tuple(rows), PROTOCOL)


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
    head = ("CONFIDENCE", "FAR", "95 % INTERVAL", "PAIRS", "FRR", "95 % INTERVAL", "PAIRS")
    text = "FAR: impostor pairs that reach the confidence. FRR: genuine pairs that do not."
    return Table("Error rates by confidence", head, tuple(rows), text)


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
    head = ("FACES IN THE GALLERY", "CONFIDENCE", "FALSE MATCHES", "AT MOST, BY THE INTERVAL", "CHANCE OF ANY")
    text = (
        "Expected false matches in the answer to one search with a probe who is not in the gallery, since a search "
        "compares with every face. The chance of any is an upper bound: some faces look like many, and most like none."
    )
    return Table("Expected false matches by size of the gallery", head, tuple(rows), text)


def _percent(rate: Rate) -> Sequence[str]:
    low, high = rate.interval
    return f"{rate.part:.2%}", f"{low:.2%} to {high:.2%}"


def _one_in(part: float) -> str:
    if part >= 0.1:
        return f"{part:.0%}"
    return f"1 in {1 / part:,.0f}" if part else "none"
