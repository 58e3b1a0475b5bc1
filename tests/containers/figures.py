"""The figures that the experiments measured, for the table at the end."""

from dataclasses import dataclass, field
from typing import Final

from steady import Kept, Load

COLUMNS: Final = (
    "experiment",
    "requests",
    "served",
    "FAIL",
    "broken",
    "lost",
    "doubled",
    "unsaid",
    "recovery s",
    "slowest s",
)


@dataclass
class Figures:
    """rows: one for each experiment, as COLUMNS. facts: measurements without a load."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def add(self, experiment: str, load: Load, kept: Kept, since: float) -> None:
        """Add the row of an experiment.

        since: when the disturbance was over, in seconds of the monotonic clock. Recovery is the time from then to the
        last request without an answer or with FAIL.
        """
        late = [answer.ended - since for answer in load.answers if answer.status in {"FAIL", "broken"}]
        slowest = max(answer.ended - answer.began for answer in load.answers)
        numbers = (
            *(len(load.answers), load.served, load.count("FAIL"), load.count("broken")),
            *(kept.lost, kept.doubled, kept.unsaid),
        )
        self.rows.append((experiment, *map(str, numbers), f"{max([0.0, *late]):.1f}", f"{slowest:.1f}"))

    def table(self) -> list[str]:
        """Return the lines of a Markdown table."""
        lines = [COLUMNS, ("---",) * len(COLUMNS), *self.rows]
        return [*(f"| {' | '.join(line)} |" for line in lines), *(f"- {fact}" for fact in self.facts)]
