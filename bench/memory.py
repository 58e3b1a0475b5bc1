"""Measure a worker's peak memory while each of its threads processes the most expensive images that callers may send.

    PYTHONPATH=tests .venv/bin/python bench/memory.py [THREADS ...]

Prints the process's high-water mark in MiB for each number of threads, with the budget of FACESEARCH_DECODED_MB and
without, each in a process of its own. Linux only.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from hostile_input import status_mib

from hostile import DECODED
from hostile_images import IMAGES
from shared.errors import ContractError
from shared.settings import Settings
from worker.models import custom
from worker.runtime import open_faces
from worker.vision.decoding_memory import decoding_bytes
from worker.vision.memory_budget import MemoryBudget

LARGE_BYTES: Final = 100_000_000

ROUNDS: Final = 2
"""Times that each image is processed: what ONNX Runtime keeps grows with the inputs it has seen."""


def measure(threads: int, bound: str) -> None:
    """Print one row of the table."""
    settings = Settings()
    memory = MemoryBudget(settings.decoded_mb * 1_000_000) if bound == "bound" else None
    faces = open_faces(settings, custom.find(settings.embedder, "embedding", settings.models_dir), memory=memory)
    images = [item.make() for item in IMAGES if item.answer == DECODED]
    images = [image for image in images if decoding_bytes(image, full_size=True) >= LARGE_BYTES]
    empty = status_mib("VmRSS")

    def process(image: bytes) -> None:
        for embed in (faces.embed_most_prominent, faces.embed_all):
            with suppress(ContractError):
                embed(image)

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS):
            for image in images:
                list(pool.map(process, [image] * threads))
    row = (threads, bound, len(images), empty, status_mib("VmHWM"), status_mib("VmRSS"))
    print("| " + " | ".join(map(str, row)) + " |", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        measure(int(sys.argv[2]), sys.argv[3])
        return
    print("| threads | budget | images | MiB at first | at most | afterwards |\n| --: | --- | --: | --: | --: | --: |")
    sys.stdout.flush()
    for threads in map(int, sys.argv[1:] or ["1", "2", "4"]):
        for bound in ("bound", "unbound"):
            subprocess.run([sys.executable, __file__, "--one", str(threads), bound], check=True)  # noqa: S603 -- it is this file


if __name__ == "__main__":
    main()
