"""Run all benchmarks in order, for `make bench`.

    PYTHONPATH=tests .venv/bin/python bench/run.py [--quick]

Each runs in a process of its own; then docs/performance.md, its chart and the README are updated. --quick: within a
minute, with one service for most of them; nothing is written. The last line has the figures to watch.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import document
import overload
import photos
import pipeline
import results
import scale
from floor import floor
from recognition import open_naive_pipeline, open_pipeline
from servers import running
from summaries import last_line

import service
from shared.settings import Settings

PHOTOS: Final = 16
"""Photos of a quick run."""

KINDS: Final = ("small", "12mp")
"""Kinds of photos of a quick run: the smallest and the largest."""

SECONDS: Final = 0.6
"""Length of a round: enough answers for a median, and many rounds fit."""

DEADLINE_S: Final = 4
"""Deadline of the service of a quick run: the shorter one of overload, and longer than other parts need."""


def alone(name: str) -> None:
    """Run one benchmark in a process of its own, with the options of this one."""
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py"), *sys.argv[1:]], check=True)  # noqa: S603 -- our own


def long() -> str:
    """Run every benchmark, update the documents and return the last line."""
    for name in document.NAMES:
        alone(name)
    document.main()
    return last_line(results.kept("pipeline"), results.kept("service")["loads"])


def quick() -> str:
    """Run the quick form of the benchmarks and return the last line."""
    settings, recognizer = Settings(), open_pipeline(Settings())
    kinds = {kind: images[:PHOTOS] for kind, images in photos.photos().items() if kind in KINDS}
    with tempfile.TemporaryDirectory() as name, floor(recognizer, kinds["small"]) as whole:
        folder = Path(name)
        in_process = pipeline.measure(
            recognizer, open_naive_pipeline(settings), whole, kinds, pipeline.CALLS[:1], 3, SECONDS
        )
        print_results("pipeline", in_process, pipeline.show)
        with running(folder / "service", FACESEARCH_DEADLINE_S=DEADLINE_S, FACESEARCH_LOG_LEVEL="error") as up:
            files = photos.written(kinds["small"], folder / "small")
            up.add(files)
            loads = service.measure(up, whole, kinds, service.QUICK, 3, SECONDS)
            print_results("service", loads, service.show)
            alone("store")
            print_results("scale", scale.by_callers(up, files, (64,), 1, SECONDS), scale.show_callers)
            print_results("overload", [overload.measure(up, "small", files, DEADLINE_S, 1, 0.8, 2.6)], overload.show)
    return last_line(in_process, loads)


def print_results(name: str, found: Any, show: Callable[[Any], None]) -> None:
    print(f"== {name}")
    print(json.dumps(found))
    show(found)


def main() -> None:
    print(quick() if results.is_quick() else long())


if __name__ == "__main__":
    main()
