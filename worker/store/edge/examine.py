"""Reads every face of an embedded store in a child process: the engine maps its files, and reading one that was cut
short is a bus error, which kills the process.

    python -m worker.store.edge.examine FOLDER IDENTITY < names of collections, a line each

prints an Examined as a line of JSON for each.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Final

from shared.errors import OperatorError
from worker.models.identity import Identity
from worker.store.awaiting import await_available
from worker.store.backend import Examined
from worker.store.base import InvalidVector, StoreError, check_points
from worker.store.edge.store import EdgeStore
from worker.store.views import matching

COMMAND: Final = ("-m", "worker.store.edge.examine")

REFUSED: Final = 3
"""Exit status if the folder is in use; neither Python nor a signal ends a process with it."""


def examine(folder: Path, identity: Identity, collections: Sequence[str]) -> Iterator[tuple[str, Examined]]:
    """Yield each collection with what was found in it; each is read under its own identity. identity: with which the
    store is opened. Raises OperatorError if the folder is in use.
    """
    left = list(collections)
    while left:
        process = subprocess.run(  # noqa: S603 -- our own
            [sys.executable, *COMMAND, str(folder), str(identity)],
            input="".join(f"{name}\n" for name in left),
            capture_output=True,
            text=True,
            check=False,
        )
        lines = process.stdout.splitlines(keepends=True)
        found = [Examined(**json.loads(line)) for line in lines if line.endswith("\n")]
        yield from zip(left, found, strict=False)
        left = left[len(found) :]
        if not left:
            return
        if process.returncode == REFUSED:
            raise OperatorError(process.stderr.strip().splitlines()[-1])
        died = f"the engine dies of it (exit status {process.returncode}): its files are damaged"
        yield left.pop(0), Examined(problem=died)


def _examined(opened: EdgeStore, collection: str) -> Examined:
    ids: list[str] = []
    try:
        store = matching(opened, collection)
        await_available(store, collection)
        for point in store.points(collection):
            ids.append(point.person_id.hex)
            check_points([point], store.identity.dimension)
        counted = store.count(collection)
    except InvalidVector as error:
        return Examined(len(ids), "".join(ids), f"face {ids[-1]} has a vector of {error}")
    except StoreError as error:
        return Examined(len(ids), "".join(ids), str(error))
    problem = "" if counted == len(ids) else f"it counts {counted} faces and lists {len(ids)}"
    return Examined(len(ids), "".join(ids), problem)


def main(folder: str, identity: str) -> None:
    """Run the child process."""
    try:
        with closing(EdgeStore(Path(folder), Identity.parse(identity), open_limit=1)) as store:
            for line in sys.stdin:
                sys.stdout.write(json.dumps(asdict(_examined(store, line.strip()))) + "\n")
                sys.stdout.flush()
    except OperatorError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(REFUSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
