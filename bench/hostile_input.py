"""Measure what each hostile input costs: CPU time in gateway and worker, and memory, with no queue in between.

    PYTHONPATH=tests .venv/bin/python bench/hostile_input.py [DOCUMENT]

Prints a Markdown table and JSON. With a document it also replaces the table there. Fails if an answer is wrong or an
input costs more than AT_MOST times the most expensive honest one. Linux only: memory is the kernel's high-water mark.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from hostile import DECODED, PARSED, Hostile
from hostile_bodies import BODIES, FORM
from hostile_images import IMAGES, REFERENCES
from hostile_runs import answer_to_body, as_form, through_gateway, through_worker
from shared.errors import ContractError
from worker.vision.decode import configure_opencv

ROUNDS = 3
BEGIN, END = "<!-- table: written by bench/hostile_input.py -->", "<!-- end of table -->"
AT_MOST = 2.0
"""Cost of an input, in multiples of the most expensive that honest callers send."""


@dataclass(frozen=True)
class Row:
    """A row of the table: times in ms of CPU, the least of three rounds; memory in MiB above what was in use."""

    name: str
    size: int
    answer: str
    gateway_ms: float
    worker_ms: float
    peak_mib: int
    why: str


def status_mib(field: str) -> int:
    """Return a field of /proc/self/status, such as VmHWM, in MiB. Raises LookupError."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) // 1024
    raise LookupError(field)


def cost(work: Callable[[], object]) -> tuple[float, int, str]:
    """Return milliseconds, MiB, and the status of the ContractError that was raised, or an empty text."""
    times, peaks, answer = [], [], ""
    for _ in range(ROUNDS):
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
        before = status_mib("VmRSS")
        start = time.process_time()
        try:
            work()
        except ContractError as error:
            answer = error.status.value
        times.append((time.process_time() - start) * 1e3)
        peaks.append(status_mib("VmHWM") - before)
    return round(min(times), 1), max(peaks), answer


def image_row(item: Hostile, nothing_ms: float) -> Row:
    image = item.make()
    form = as_form(image)
    gateway_ms, gateway_mib, answer = cost(lambda: through_gateway(form))
    worker_ms, worker_mib = 0.0, 0
    if not answer:
        worker_ms, worker_mib, answer = cost(lambda: through_worker(image))
    peak = max(gateway_mib, worker_mib)
    gateway_ms = round(max(0, gateway_ms - nothing_ms), 1)
    return Row(item.name, len(image), answer or DECODED, gateway_ms, worker_ms, peak, item.why)


def body_row(item: Hostile, nothing_ms: float) -> Row:
    body = item.make()
    answer = ""

    def work() -> None:
        nonlocal answer
        answer = answer_to_body(body, item.content_type)

    gateway_ms, peak, _ = cost(work)
    gateway_ms = round(max(0, gateway_ms - nothing_ms), 1)
    return Row(item.name, len(body), answer or PARSED, gateway_ms, 0.0, peak, item.why)


def table(rows: list[Row]) -> str:
    lines = [
        "| input | bytes | answer | gateway ms | worker ms | peak MiB | why |",
        "| --- | --: | --- | --: | --: | --: | --- |",
    ]
    for row in rows:
        worker = f"{row.worker_ms:g}" if row.worker_ms else ""
        cells = (
            row.name,
            f"{row.size:,}",
            f"`{row.answer}`",
            f"{row.gateway_ms:g}",
            worker,
            str(row.peak_mib),
            row.why,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    configure_opencv()
    through_gateway(as_form(REFERENCES[0].make()))  # imports and one-time allocations do not count
    nothing_ms, _, _ = cost(lambda: answer_to_body(b"", FORM))  # what the stand-ins for aiohttp's request cost
    rows = [*(image_row(item, nothing_ms) for item in IMAGES), *(body_row(item, nothing_ms) for item in BODIES)]
    wrong = [row.name for row, item in zip(rows, [*IMAGES, *BODIES], strict=True) if row.answer != item.answer]
    honest = max(row.worker_ms + row.gateway_ms for row in rows[: len(REFERENCES)])
    dear = [row.name for row in rows if row.worker_ms + row.gateway_ms > AT_MOST * honest]
    print(table(rows))
    print(json.dumps({"rows": [asdict(row) for row in rows], "wrong": wrong, "too dear": dear}))
    for name in sys.argv[1:]:
        document = Path(name)
        before, _, rest = document.read_text().partition(BEGIN)
        document.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{rest.partition(END)[2]}")
    if wrong or dear:
        sys.exit(1)


if __name__ == "__main__":
    main()
