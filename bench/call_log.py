"""What the call log costs a gateway: CPU time of an entry, in this process, and verified entries a second.

    PYTHONPATH=tests .venv/bin/python bench/call_log.py [--quick] [FOLDER]

FOLDER: on the disk to be measured, by default one for temporary files. Medians of interleaved rounds.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from results import is_quick

from facesearch.call_log.verification import verify
from gateway.call_log.files import Files
from gateway.calls.logged import ids_in
from shared.call_log.chain import Seal, new_chain
from shared.call_log.heads import Head

PERSON: Final = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"

ENTRIES: Final = 2000
"""In a round, of each kind."""


def main() -> None:
    rounds = 3 if is_quick() else 20
    given = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=given[0] if given else None) as name:
        folder = Path(name)
        seal = Seal(b"a key of 32 letters and of digits")
        files = Files(folder, new_chain("00000000000a", datetime.now(UTC)), "bench", seal)
        files.turn()
        for _ in range(rounds):
            for kind, answer in answers().items():
                spent.setdefault(kind, []).append(cost(files, answer))
        number, hash_ = files.end
        files.close()
        head = Head(chain=files.name, number=number, hash=hash_, at=datetime.now(UTC), host="bench")
        begin = time.process_time()
        report = verify([folder], seal, [head], 180)
        seconds = time.process_time() - begin
        size = sum(path.stat().st_size for path in folder.iterdir())
    if report.problems:
        sys.exit("\n".join(report.problems))
    for kind, found in spent.items():
        print(f"{kind}: {median(found) * 1e6:.0f} microseconds of CPU an entry")
    print(f"{number:,} entries of {size / number:,.0f} bytes; verified at {number / seconds:,.0f} a CPU second")


def answers() -> dict[str, Any]:
    """Return messages by what they are."""
    matches = [{"confidence": 99.1, "name": f"ID{n}", "person_id": f"{PERSON[:-2]}{n:02}"} for n in range(50)]
    return {"a deletion": "successfully deleted face", "a search that lists 50": matches}


def cost(files: Files, message: Any) -> float:
    """Return the CPU seconds of an entry, with what is made of the answer."""
    about: Mapping[str, Any] = {
        "request_id": "0" * 32,
        "call": "searchface",
        "tenant": "default",
        "key": "2b604f4ef600",
        "facedb": "default",
        "person_id": PERSON,
        "status": "OK",
    }
    begin = time.process_time()
    for _ in range(ENTRIES):
        files.append("call", {**about, **ids_in(message)})
    return (time.process_time() - begin) / ENTRIES


if __name__ == "__main__":
    main()
