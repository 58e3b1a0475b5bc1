"""The memory that docs/sizing.md plans for a worker fits into the limits of the deployments."""

import re
from pathlib import Path
from typing import Any

import yaml

from shared.fair_queue import extra_threads
from shared.settings import LEAST_BODY_MEMORY_MIB, Settings
from worker.vision.decoding_memory import CMYK_JPEG_BYTES, COEFFICIENT_BYTES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "sizing.md").read_text().partition("## A worker's memory\n")[2].partition("\n**1 million")[0]

BASE, EACH = (float(number) for number in re.findall(r"Plan (\d+) MB, (\d+) MB a thread", TEXT)[0])

SETTINGS = Settings()

LARGEST_MB = (CMYK_JPEG_BYTES + 4 * COEFFICIENT_BYTES) * SETTINGS.max_pixels / 1e6
"""One image alone, in MB: it is decoded whatever the budget, if no other image is."""

UNITS = {"g": 2**30 / 1e6, "m": 2**20 / 1e6, "Gi": 2**30 / 1e6, "Mi": 2**20 / 1e6}


def planned_mb(threads: int, images_mb: float) -> float:
    return BASE + EACH * threads + images_mb


def megabytes(quantity: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([a-zA-Z]+)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def fits(limit: str, threads: int) -> bool:
    decoded_mb = max(LARGEST_MB, SETTINGS.decoded_mb)
    return planned_mb(threads + extra_threads(threads), decoded_mb) <= megabytes(limit)


def values(name: str) -> Any:
    return yaml.safe_load((ROOT / "deploy" / "helm" / name).read_text())["worker"]["resources"]


def test_the_plan_is_above_the_measured_memory() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \|", TEXT, re.MULTILINE)
    assert len(rows) == 3
    for threads, most_mib in rows:
        assert int(most_mib) * 1.048576 < planned_mb(int(threads), SETTINGS.decoded_mb)


def test_the_document_states_the_memory_of_the_most_expensive_image() -> None:
    assert f"take {LARGEST_MB:.0f} MB" in TEXT


def test_compose_gives_a_worker_enough_memory() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    (limit,) = re.findall(r" mem_limit: \$\{WORKER_MEMORY:-(\w+)\}", text)
    (threads,) = re.findall(r"FACESEARCH_WORKER_THREADS:-(\d+)", text)
    assert fits(limit, int(threads))


def test_the_chart_gives_a_worker_enough_memory() -> None:
    for name in ("facesearch/values.yaml", "examples/minimal.yaml"):
        resources = values(name)
        threads = int(resources["limits"]["cpu"])
        assert fits(resources["limits"]["memory"], threads)
        common_mb = planned_mb(threads + extra_threads(threads), SETTINGS.decoded_mb)
        assert megabytes(resources["requests"]["memory"]) >= common_mb, name


class TestGateway:
    """docs/scale.md plans the memory of a gateway's processes."""

    PLAN = (ROOT / "docs" / "scale.md").read_text()

    def fits(self, limit: str) -> bool:
        """Return whether as many processes as are allowed fit into a container of that size."""
        found = re.search(r"\| memory \| each (\d+) MB and up to (\d+) MB .* (\d+) MB for their parent \|", self.PLAN)
        assert found
        base, parsed, parent = map(int, found.groups())
        body_memory_mb = megabytes(limit) / 4
        processes = int(body_memory_mb // megabytes(f"{LEAST_BODY_MEMORY_MIB}m"))
        assert processes >= 1
        planned_mb = processes * (base + parsed) + (parent if processes > 1 else 0) + 2 * body_memory_mb
        return planned_mb <= megabytes(limit)

    def test_compose_gives_a_gateway_enough_memory_for_its_processes(self) -> None:
        (limit,) = re.findall(r" mem_limit: \$\{GATEWAY_MEMORY:-(\w+)\}", (ROOT / "docker-compose.yml").read_text())
        assert self.fits(limit)

    def test_the_chart_gives_a_gateway_enough_memory(self) -> None:
        text = (ROOT / "deploy" / "helm" / "facesearch" / "values.yaml").read_text()
        assert self.fits(yaml.safe_load(text)["gateway"]["resources"]["limits"]["memory"])

    def test_the_memory_that_a_process_needs_of_a_container_is_that_of_the_document(self) -> None:
        assert f"so a container needs {4 * LEAST_BODY_MEMORY_MIB} MiB for each" in self.PLAN
        assert self.fits(f"{4 * LEAST_BODY_MEMORY_MIB}m")
