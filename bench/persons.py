"""What the calls about persons cost, beside a delete of a face that is not there.

    PYTHONPATH=tests .venv/bin/python bench/persons.py [--quick]

Adds persons with 200 bytes of metadata each to the embedded store, and prints a table: CPU time that a request takes in
gateway, worker and broker, and the time to its answer by one caller. Medians of interleaved rounds.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import pybase64
from servers import Running, running

from portraits import crowd

METADATA: Final = json.dumps({"note": "x" * 187})

REQUESTS: Final = 40
"""In a round, of each kind: together they take several times the resolution of a process's CPU time, 10 ms."""

ROLES: Final = ("gateway", "worker", "broker")


def main() -> None:
    adds, rounds = (2, 3) if "--quick" in sys.argv[1:] else (20, 15)
    measured: dict[str, list[tuple[float, ...]]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "service", FACESEARCH_DEADLINE_S=120) as service,
        httpx.Client(base_url=service.address, headers={"X-API-Key": service.key}, timeout=150) as http,
    ):
        persons = fill(http, adds)
        kinds = requests(http)
        for _ in range(rounds):
            for kind, send in kinds.items():
                measured.setdefault(kind, []).append(measure(service, send))
    print(f"{persons:,} persons\n\n| request | {' | '.join(ROLES)} | answer |\n| --- | ---: | ---: | ---: | ---: |")
    for kind, found in measured.items():
        *spent, answered = (median(column) for column in zip(*found, strict=True))
        print(f"| {kind} | {' | '.join(f'{each:.2f} ms' for each in spent)} | {answered:.1f} ms |")


def fill(http: httpx.Client, adds: int) -> int:
    """Add the faces of a photo of 100 that many times. Returns how many faces were added."""
    image = pybase64.b64encode(crowd(100)).decode()
    added = 0
    for number in range(adds):
        fields = {"img": image, "name": f"n{number}", "external_id": f"e{number}", "metadata": METADATA}
        added += len(message(http.post("/v1/addface", data=fields)))
    return added


def requests(http: httpx.Client) -> dict[str, Callable[[], httpx.Response]]:
    """Return what sends a request, by its kind."""
    person = message(http.get("/v1/persons?limit=1"))["persons"][0]["person_id"]
    nobody = {"person_id": "00000000-0000-4000-8000-000000000000"}
    last: dict[str, str] = {}
    while following := message(http.get("/v1/persons", params=last))["next"]:
        last = {"after": following}
    return {
        "a delete of nobody": lambda: http.post("/v1/delface", data=nobody),
        "one person": lambda: http.get(f"/v1/persons/{person}"),
        "a change of a person": lambda: http.patch(f"/v1/persons/{person}", data={"name": "Grace"}),
        "the first 100": lambda: http.get("/v1/persons"),
        "the last 100": lambda: http.get("/v1/persons", params=last),
        "those of a name": lambda: http.get("/v1/persons?name=n1"),
        "those of an external id": lambda: http.get("/v1/persons?external_id=e1"),
        "the face databases": lambda: http.get("/v1/facedbs"),
    }


def measure(service: Running, send: Callable[[], httpx.Response]) -> tuple[float, ...]:
    """Return milliseconds a request: CPU time by role, and the median time to an answer."""
    before = service.cpu_s()
    times = []
    for _ in range(REQUESTS):
        begun = time.perf_counter()
        answer = send()
        times.append(time.perf_counter() - begun)
        answer.raise_for_status()
    after = service.cpu_s()
    return *(1e3 * (after[role] - before[role]) / REQUESTS for role in ROLES), 1e3 * median(times)


def message(answer: httpx.Response) -> Any:
    """Return the message of OK. Raises RuntimeError for another answer."""
    body = answer.json()
    if body["status"] != "OK":
        raise RuntimeError(f"answered {body}")
    return body["message"]


if __name__ == "__main__":
    main()
