"""What an import came to: counts, and why photos were not added."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from facesearch.bulk.photos import Failure
from shared.errors import OperatorError


@dataclass
class Tally:
    """What became of the photos.

    is_begun: whether there is anything to tell. added, faces: photos added by this run, and their faces. shrunk: those
    of this run's photos that were made smaller before they were sent, and are in the facedb now. persons: persons of
    several faces that this run made. before: photos
    that an earlier run added, by the journal. replayed: photos that were added under the same Idempotency-Key by an
    import whose journal is not here. present: photos of persons who were there before, by their external_id, and stay
    as they are. left: photos that this run did not come to, or that have no outcome because it was
    stopped. answered: photos that have an outcome of this run. began, ended: monotonic times, in seconds, of the first
    photo sent and the last answer.
    """

    is_begun: bool = False
    added: int = 0
    faces: int = 0
    shrunk: int = 0
    persons: int = 0
    before: int = 0
    replayed: int = 0
    present: int = 0
    left: int = 0
    answered: int = 0
    failures: list[Failure] = field(default_factory=list)
    began: float | None = None
    ended: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every photo is in the facedb now, or the person that it shows was there before."""
        return not self.failures and not self.left

    @property
    def per_second(self) -> float | None:
        """Photos a second that were sent and answered by this run; None if there was none."""
        if self.began is None or self.ended is None or self.ended <= self.began:
            return None
        return self.answered / (self.ended - self.began)

    def reasons(self) -> list[tuple[str, int]]:
        """Return how many photos failed for each reason, the most frequent first. Texts after a colon do not count."""
        counts = Counter(failure.reason.partition(": ")[0] for failure in self.failures)
        return counts.most_common()


def write(path: Path, failures: Iterable[Failure]) -> None:
    """Write what failed and why as CSV (RFC 4180, UTF-8). Raises OperatorError if the file cannot be written."""
    try:
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("file", "name", "status", "reason"))
            rows.writerows((each.path, each.name, each.status, each.reason) for each in failures)
    except OSError as error:
        raise OperatorError(f"cannot write {path}: {error.strerror}; choose another file with --report") from None
