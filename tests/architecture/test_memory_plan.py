"""What docs/operations.md plans for a worker's memory fits into what the deployments give it."""

import re
from pathlib import Path
from typing import Any

import yaml

from shared.fair_queue import extra_threads
from shared.settings import Settings
from worker.vision.decoding_memory import CMYK_JPEG_BYTES, COEFFICIENT_BYTES

ROOT = Path(__file__).parents[2]
TEXT = (
    (ROOT / "docs" / "operations.md").read_text().partition("#### A worker's memory\n")[2].partition("\n**1 million")[0]
)

BASE, EACH = (float(number) for number in re.findall(r"Plan (\d+) MB, (\d+) MB a thread", TEXT)[0])

SETTINGS = Settings()

DEAREST_MB = (CMYK_JPEG_BYTES + 4 * COEFFICIENT_BYTES) * SETTINGS.max_pixels / 1e6
"""One image alone: it is let in however little room there is."""

UNITS = {"g": 2**30 / 1e6, "m": 2**20 / 1e6, "Gi": 2**30 / 1e6, "Mi": 2**20 / 1e6}


def planned_mb(threads: int, images_mb: float) -> float:
    return BASE + EACH * threads + images_mb


def megabytes(said: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([a-zA-Z]+)", said).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def fits(limit: str, threads: int) -> bool:
    dearest = max(DEAREST_MB, SETTINGS.decoded_mb)
    return planned_mb(threads + extra_threads(threads), dearest) <= megabytes(limit)


def values(name: str) -> Any:
    return yaml.safe_load((ROOT / "deploy" / "helm" / name).read_text())["worker"]["resources"]


def test_what_is_planned_is_more_than_what_was_measured() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \|", TEXT, re.MULTILINE)
    assert len(rows) == 3
    for threads, most_mib in rows:
        assert int(most_mib) * 1.048576 < planned_mb(int(threads), SETTINGS.decoded_mb)


def test_the_document_knows_the_dearest_image() -> None:
    assert f"take {DEAREST_MB:.0f} MB" in TEXT


def test_compose_gives_a_worker_what_it_needs() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    (limit,) = re.findall(r" mem_limit: \$\{WORKER_MEMORY:-(\w+)\}", text)
    (threads,) = re.findall(r"FACESEARCH_WORKER_THREADS:-(\d+)", text)
    assert fits(limit, int(threads))


def test_so_does_the_chart() -> None:
    for name in ("facesearch/values.yaml", "examples/minimal.yaml"):
        resources = values(name)
        threads = int(resources["limits"]["cpu"])
        assert fits(resources["limits"]["memory"], threads)
        common_mb = planned_mb(threads + extra_threads(threads), SETTINGS.decoded_mb)
        assert megabytes(resources["requests"]["memory"]) >= common_mb, name
