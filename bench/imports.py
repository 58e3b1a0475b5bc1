"""What `facesearch import` reaches of the rate at which the service adds photos.

    PYTHONPATH=.:tests .venv/bin/python bench/imports.py [DIR] [--persons]

DIR: photos, each added under the name of its folder; by default those of bench/photos.py for LFW. --persons: compares
imports with --person-per-folder with those without it, of the people with FACES photos or more. Otherwise one service
adds the same photos in turn by a closed loop of callers and by the command, all faces of each photo, each time into a
facedb of its own. The rate of callers is the mean of those before and after the import. Prints the rates of each round
and the medians, and the photos that were under way at once on average.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from photos import LFW
from servers import Running, running

from facesearch.bulk import journal
from shared.contract import Faces
from shared.control import DEFAULT, Control
from shared.redis_clients import connect

ROUNDS: Final = 9
PHOTOS: Final = 250
CALLERS: Final = 8
"""Callers of the closed loop: more add nothing on two cores, as bench/service.py shows."""

SECONDS: Final = 8.0

LARGEST: Final = ("--faces", Faces.LARGEST)

FACES: Final = 4
"""Photos of one person, at least, for --persons."""


def main() -> None:
    given = [each for each in sys.argv[1:] if each != "--persons"]
    source = Path(given[0]) if given else LFW
    paths = sorted(source.glob("*/*.jpg"))
    if not paths:
        sys.exit(f"{source} has no photos: give a folder with a folder for each person")
    if "--persons" in sys.argv[1:]:
        persons(paths)
    else:
        callers(paths[:: max(1, len(paths) // PHOTOS)][:PHOTOS])


def persons(paths: list[Path]) -> None:
    """Print the rate of imports of persons of several faces beside that of persons of one face."""
    each = Counter(path.parent for path in paths)
    paths = [path for path in paths if each[path.parent] >= FACES][:PHOTOS]
    print(f"{len(paths)} photos of {len({path.parent for path in paths})} people")
    ratios = []
    with tempfile.TemporaryDirectory() as made, prepared(Path(made), paths) as service:
        for number in range(ROUNDS):
            plain, *_ = imported(service, Path(made), f"plain-{number}", *LARGEST)
            several, *_ = imported(
                service, Path(made), f"several-{number}", "--person-per-folder", "--faces", Faces.LARGEST
            )
            ratios.append(several / plain)
            print(f"{plain:.1f} of one face, {several:.1f} of several, {ratios[-1]:.2f}")
    print(f"median {median(ratios):.2f}")


@contextmanager
def prepared(folder: Path, paths: list[Path]) -> Iterator[Running]:
    """Copy the photos into a folder, and yield a service that has added some, whose key is in a file there."""
    for path in paths:
        to = folder / "photos" / path.parent.name / path.name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    (folder / "key").touch(0o600)
    with running(folder / "service", FACESEARCH_NAMES="free") as service:
        (folder / "key").write_text(service.key)
        service.add(paths[:20])
        yield service


def callers(paths: list[Path]) -> None:
    """Print the rate of imports beside that of callers."""
    rows = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with prepared(folder, paths) as service:
            before = service.closed("addface", CALLERS, SECONDS, paths)["per_second"]
            for number in range(ROUNDS):
                found = imported(service, folder, f"round-{number}")
                after = service.closed("addface", CALLERS, SECONDS, paths)["per_second"]
                rows.append(((before + after) / 2, *found))
                before = after
                print("{:.1f} plain, {:.1f} imported, {:.1f} with start and end, {:.1f} at once".format(*rows[-1]))
    plain, rate, whole, at_once = (median(column) for column in zip(*rows, strict=True))
    ratio = median(row[1] / row[0] for row in rows)
    print(f"\n| callers: {CALLERS} | import | with start and end | of the callers' rate | at once |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    print(f"| {plain:.1f}/s | {rate:.1f}/s | {whole:.1f}/s | {ratio:.2f} | {at_once:.1f} |")


def imported(service: Running, folder: Path, facedb: str, *options: str) -> tuple[float, float, float]:
    """Import the photos into a new facedb, all faces unless options say otherwise. Returns the photos a second from the
    first one sent to the last answer, and of the whole command, and the mean number that was under way, by Little's law
    from the times of the journal.
    """
    asyncio.run(created(service.broker_url, facedb))
    to, report = folder / f"{facedb}.jsonl", folder / "failed.csv"
    command = [sys.executable, "-m", "facesearch", "import", folder / "photos", "--url", service.address]
    command += ["--key-file", folder / "key", "--facedb", facedb, "--journal", to, *(options or ("--faces", Faces.ALL))]
    begun = time.perf_counter()
    done = subprocess.run(  # noqa: S603 -- our own
        [*map(str, command), "--report", str(report)], env=os.environ, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - begun
    if not done.stdout.startswith("added "):
        raise RuntimeError(done.stderr)
    rate = float(done.stdout.split(" photos a second")[0].rpartition(" ")[2])
    lines = to.read_text().splitlines()[1:]
    under_way, sums = 0, []
    for line in lines:
        under_way += 1 if '"sent"' in line else -1
        sums.append(under_way)
    state = journal.read(to, journal.Target(service.address, facedb, persons="--person-per-folder" in options))
    return rate, len(state.added) / took, sum(sums) / len(sums)


async def created(broker_url: str, facedb: str) -> None:
    async with connect(broker_url) as redis:
        await Control(redis).create_facedb(DEFAULT, facedb)


if __name__ == "__main__":
    main()
