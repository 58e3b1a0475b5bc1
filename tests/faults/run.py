"""Inject faults into the running service under load, one after the other, and report whether it kept its promises.

python -m faults.run --quick --seed 1       every kill -9, in less than a minute
python -m faults.run --into docs/fault-figures.md  every fault; the results replace the table there
python -m faults.run --only 'broker'        the rows whose name contains that text
python -m faults.run --list                 their names
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from faults.rows import Result, Row, not_played, play

HEADER = ("fault", "requests", "acknowledged", "lost", "doubled", "FAIL", "broken", "worst wait s", "recovery s")


def rows() -> list[Row]:
    """Return all rows, module by module, those of the quick run first."""
    modules = sorted(Path(__file__).parent.glob("rows_*.py"))
    found = [row for module in modules for row in import_module(f"faults.{module.stem}").ROWS]
    return sorted(found, key=lambda row: not row.quick)


def played(chosen: Sequence[Row], seed: int, say: Callable[[str], None]) -> Iterator[Result]:
    """Run each row and yield its result. Neighbours share a stage, unless one has left it in a bad state."""
    before = None
    with ExitStack() as standing:
        for row in chosen:
            if why := row.why_not():
                say(f"{row.name}: not here: {why}")
                continue
            if row.stage is not before:
                standing.close()
                folder = Path(standing.enter_context(tempfile.TemporaryDirectory()))
                try:
                    stage = standing.enter_context(row.stage(folder))
                except (AssertionError, OSError) as error:
                    before = None
                    yield not_played(row, f"{type(error).__name__}: {error}")
                    continue
            result = play(row, stage, seed)
            before = row.stage if result.kept else None
            yield result


def cells(result: Result) -> tuple[str, ...]:
    """Return a row's cells of the table."""
    recovery = "never" if result.recovery_s is None else f"{result.recovery_s:.1f}"
    counts = (result.requests, result.acknowledged, result.lost, result.doubled, result.failed, result.broken)
    return (result.name, *map(str, counts), f"{result.worst_wait_s:.1f}", recovery)


def line(columns: Sequence[str], width: int) -> str:
    """Return one line of the table. width: of the first column."""
    first, *others = columns
    numbers = (f"{cell:>{len(title)}}" for cell, title in zip(others, HEADER[1:], strict=True))
    return "  ".join((first.ljust(width), *numbers))


def summary(results: Sequence[Result]) -> str:
    """Return the last line of the output."""
    lost, doubled = (sum(getattr(result, name) for result in results) for name in ("lost", "doubled"))
    worst = max((result.recovery_s or float("inf") for result in results), default=float("inf"))
    return f"faults: rows={len(results)} lost={lost} doubled={doubled} worst_recovery_s={worst:.1f}"


def document(results: Sequence[Result], path: Path) -> None:
    """Replace the table at the end of a document."""
    above = path.read_text().partition(f"| {HEADER[0]} |")[0]
    table = [HEADER, ("---", *["---:"] * (len(HEADER) - 1)), *map(cells, results)]
    lines = [f"| {' | '.join(columns)} |" for columns in table]
    path.write_text(above + "\n".join([*lines, "", summary(results)]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="faults")
    parser.add_argument("--quick", action="store_true", help="only kill -9")
    parser.add_argument("--seed", type=int, default=1, help="of the callers' requests and of the times of kills")
    parser.add_argument("--only", default="", help="run the rows whose name contains this text")
    parser.add_argument("--list", action="store_true", help="list the names of the rows")
    parser.add_argument("--into", type=Path, help="the document whose table is replaced if every promise was kept")
    options = parser.parse_args()
    chosen = [row for row in rows() if options.only in row.name and (row.quick or not options.quick)]
    if options.list:
        print(*(row.name for row in chosen), sep="\n")
        return
    width = max(len(row.name) for row in chosen)
    print(line(HEADER, width), flush=True)
    results = []
    for result in played(chosen, options.seed, lambda text: print(text, flush=True)):
        results.append(result)
        print(line(cells(result), width), *result.problems, sep="\n    ", flush=True)
    kept = bool(results) and all(result.kept for result in results)
    if kept and options.into:
        document(results, options.into)
    print(summary(results))
    sys.exit(not kept)


if __name__ == "__main__":
    main()
