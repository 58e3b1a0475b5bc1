"""The table of docs/contract.md: every status of every call, with a request that provokes it and the answer it got.

python -m contract.table    run the requests against a service and write the table, as `make contract-table` does
"""

import asyncio
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from contract.tenants import new_tenant
from portraits import astronaut_png, faceless_png, hopper_jpeg
from processes import API_KEY, gateway, wait_for
from service import Service
from shared import usage
from shared.contract import CHARGED, MAX_IMAGE_BYTES, STATUSES_OF, Call, Status
from shared.control import Scope

DOCUMENT = Path(__file__).parents[2] / "docs/contract.md"
MARKS = ("<!-- made by make contract-table -->\n", "<!-- end of what make contract-table made -->\n")

POST = """post() { curl -s -w ' %{http_code}' -H "X-API-Key: $KEY" "$URL/$1" "${@:2}"; }"""

# Ids differ from run to run: this one stands for the id of the one face that is added.
ID = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

FILES = {
    "hopper.jpg": hopper_jpeg,
    "astronaut.png": astronaut_png,
    "coffee.png": faceless_png,
    "half.jpg": lambda: hopper_jpeg()[: len(hopper_jpeg()) // 2],
    "large.jpg": lambda: hopper_jpeg().ljust(MAX_IMAGE_BYTES + 1, b"\0"),
    "hello.txt": lambda: b"hello",
}

INTRODUCTION = f"""\
Each request of this table was run in this order, and answered so, by `make contract-table`; a test runs it again.
A request is a line of bash, with this function:

```sh
{POST}
```

`hopper.jpg` and `astronaut.png` show one face each, `coffee.png` none; `half.jpg` is the first half of `hopper.jpg`,
`large.jpg` is `hopper.jpg` filled up to one byte more than 2M. `$URL` is the address of the service. `$KEY` may do
everything, `$ADDS` may only add, `$SEARCHES` only search; `$SLOW` may make one request an hour and has just made it.
The id that addface answered is written as `{ID}`.

| status | call | HTTP | charged | request | answer |
| --- | --- | --- | --- | --- | --- |
"""
NO_WORKER = "¹ While no worker runs.\n"


@dataclass(frozen=True)
class Row:
    """One request and what it is to provoke. call None: a path that is no call. idle: while no worker runs."""

    status: Status
    call: Call | None
    code: int
    request: str
    idle: bool = False


IMG = "-F img=@hopper.jpg"
NEEDED = {
    Call.ADD_FACE: IMG,
    Call.SEARCH_FACE: IMG,
    Call.DELETE_FACE: f"-d person_id={ID}",
    Call.COMPARE_FACES: "-F img1=@hopper.jpg -F img2=@hopper.jpg",
}
"""What makes a valid request of each call."""

PROVOKED = {
    (Status.OK, Call.ADD_FACE): f"{IMG} -F name=Grace",
    (Status.OK, Call.SEARCH_FACE): IMG,
    (Status.OK, Call.DELETE_FACE): f"-d person_id={ID}",
    (Status.OK, Call.COMPARE_FACES): NEEDED[Call.COMPARE_FACES],
    (Status.NO_SIMILAR_FACE, Call.SEARCH_FACE): "-F img=@astronaut.png",
    (Status.FACE_DETECT_FAILED, Call.ADD_FACE): "-F img=@coffee.png",
    (Status.FACE_DETECT_FAILED, Call.SEARCH_FACE): "-F img=@coffee.png",
    (Status.FACE_DETECT_FAILED, Call.COMPARE_FACES): "-F img1=@hopper.jpg -F img2=@coffee.png",
    (Status.PERSON_ID_NOT_EXIST, Call.DELETE_FACE): f"-d person_id={ID}",
    (Status.IMAGE_INVALID_SIZE, Call.ADD_FACE): "-F img=@large.jpg",
    (Status.IMAGE_INVALID_SIZE, Call.SEARCH_FACE): "-F img=@large.jpg",
    (Status.IMAGE_INVALID_SIZE, Call.COMPARE_FACES): "-F img1=@hopper.jpg -F img2=@large.jpg",
    (Status.IMAGE_INVALID_FORMAT, Call.ADD_FACE): "-F img=@hello.txt",
    (Status.IMAGE_INVALID_FORMAT, Call.SEARCH_FACE): "-F img=@half.jpg",
    (Status.IMAGE_INVALID_FORMAT, Call.COMPARE_FACES): "-F img1=@half.jpg -F img2=@hopper.jpg",
    (Status.INVALID_REQUEST, Call.ADD_FACE): f"{IMG} -F 'name=Grace Hopper'",
    (Status.INVALID_REQUEST, Call.SEARCH_FACE): f"{IMG} -F facedb=nobodys",
    (Status.INVALID_REQUEST, Call.DELETE_FACE): "-d name=Grace",
    (Status.INVALID_REQUEST, Call.COMPARE_FACES): "-F img1=@hopper.jpg",
}


def rows() -> Iterator[Row]:
    """In the order in which they are run."""
    for status, calls in STATUSES_OF.items():
        for call in (call for call in Call if call in calls):
            if status is Status.FAIL:
                yield Row(status, call, 503, f"post v1/{call} {NEEDED[call]}", idle=True)
            else:
                yield Row(status, call, 200, f"post v1/{call} {PROVOKED[status, call]}")
    scoped = dict.fromkeys(Call, "ADDS") | {Call.ADD_FACE: "SEARCHES"}
    for call in Call:
        yield Row(Status.INVALID_REQUEST, call, 401, f"KEY=wrong post v1/{call} {NEEDED[call]}")
    for call in Call:
        yield Row(Status.INVALID_REQUEST, call, 403, f"KEY=${scoped[call]} post v1/{call} {NEEDED[call]}")
    for call in Call:
        yield Row(Status.FAIL, call, 429, f"KEY=$SLOW post v1/{call} {NEEDED[call]}")
    for call in Call:
        yield Row(Status.INVALID_REQUEST, call, 405, f"post v1/{call} -X GET")
    yield Row(Status.INVALID_REQUEST, None, 404, f"post v1/findface {IMG}")


def table(service: Service) -> str:
    """The section, by running every row. Raises AssertionError when one is answered otherwise than it should be."""
    tenant, keys = new_tenant(
        service.broker,
        KEY={},
        ADDS={"scopes": frozenset({Scope.ADD})},
        SEARCHES={"scopes": frozenset({Scope.SEARCH})},
        SLOW={"rate": 1 / 3600},
    )
    with _folder() as folder, gateway(folder, deadline_s=0.3, log_level="error") as idle:
        here = {"URL": service.address, **keys}
        there = {"URL": str(idle.base_url).rstrip("/"), "KEY": API_KEY}
        _run(f"KEY=$SLOW post v1/delface {NEEDED[Call.DELETE_FACE]}", folder, here)
        lines, identifier = [], ID
        for row in rows():
            answer, code = _run(row.request.replace(ID, identifier), folder, there if row.idle else here)
            assert (code, f'{{"status": "{row.status}"' in answer) == (row.code, True), (row, answer, code)
            added = UUID.search(answer)
            identifier = added[0] if added and identifier == ID else identifier
            lines.append(_line(row, UUID.sub(ID, answer)))
        _require_metered(service, tenant)
    return f"{INTRODUCTION}{''.join(lines)}\n{NO_WORKER}"


def written(document: str) -> tuple[str, str, str]:
    """The document before the table, the table, and the document after it."""
    before, _, rest = document.partition(MARKS[0])
    section, mark, after = rest.partition(MARKS[1])
    assert mark, "the marks of the table are missing"
    return before + MARKS[0], section, MARKS[1] + after


def _line(row: Row, answer: str) -> str:
    charged = "charged" if row.call and (row.call, row.status) in CHARGED else "free"
    mark = "¹" if row.idle else ""
    call = f"{row.call}{mark}" if row.call else ""
    return f"| `{row.status}` | {call} | {row.code} | {charged} | `{row.request}` | `{answer}` |\n"


def _run(request: str, folder: Path, environment: Mapping[str, str]) -> tuple[str, int]:
    """The answer's text and its HTTP code."""
    said = subprocess.run(
        ["bash", "-c", f"{POST}\n{request}"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    answer, _, code = said.rpartition(" ")
    return answer, int(code)


def _require_metered(service: Service, tenant: str) -> None:
    """Every request that got as far as its own answer is counted once, and charged as the table says."""
    expected = Counter((row.call, row.status) for row in rows() if row.code == 200)

    async def read() -> list[usage.Usage]:
        async with Redis.from_url(service.broker) as redis:
            return await usage.read(redis, usage.Period(), tenant)

    def counted() -> bool:
        found = {(used.call, used.status): used.count for used in asyncio.run(read()) if used.status is not Status.FAIL}
        return found == expected

    wait_for(counted)


@contextmanager
def _folder() -> Iterator[Path]:
    """With the images that the requests name."""
    with tempfile.TemporaryDirectory() as name:
        for file, content in FILES.items():
            (Path(name) / file).write_bytes(content())
        yield Path(name)


def main() -> None:
    before, _, after = written(DOCUMENT.read_text())
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder)) as service:
        DOCUMENT.write_text(before + table(service) + after)


if __name__ == "__main__":
    main()
