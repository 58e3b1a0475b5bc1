"""The table of docs/answers.md: every status of every call, with a request that provokes it and its answer.

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
from oracle import TIME, body_breach
from portraits import astronaut_png, faceless_png, hopper_jpeg
from processes import API_KEY, gateway, wait_for
from service import Service
from shared import usage
from shared.calls import (
    ADD_FACE,
    CALLS,
    COMPARE_FACES,
    DELETE_FACE,
    DELETE_FACE_OF_PERSON,
    DELETE_PERSON,
    LIST_FACEDBS,
    SEARCH_FACE,
    UPDATE_PERSON,
    Call,
)
from shared.contract import MAX_IMAGE_BYTES, Status
from shared.control import Scope
from shared.parameters import PERSON_ID_EXAMPLE

DOCUMENT = Path(__file__).parents[2] / "docs/answers.md"
MARKS = ("<!-- made by make contract-table -->\n", "<!-- end of what make contract-table made -->\n")

ASK = """ask() { curl -s -w ' %{http_code}' -H "X-API-Key: $KEY" "$URL/$1" "${@:2}"; }"""

# Stands for the id of the one face that is added, which differs from run to run.
ID = PERSON_ID_EXAMPLE
# Stands for the time at which it is added.
ADDED = "2026-11-28T09:30:00.250000Z"
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
A request is a line of bash, with this function; without parameters to send, curl makes a GET:

```sh
{ASK}
```

`hopper.jpg` and `astronaut.png` show one face each, `coffee.png` none; `half.jpg` is the first half of `hopper.jpg`,
`large.jpg` is `hopper.jpg` filled up to one byte more than 2M. `$URL` is the address of the service. `$KEY` may do
everything, `$ADDS` may only add, `$SEARCHES` only search; `$SLOW` may make one request an hour and has just made it.
The id that addface answered is written as `{ID}`, the time at which it was made as
`{ADDED}`.

| status | call | HTTP | charged | request | answer |
| --- | --- | --- | --- | --- | --- |
"""
NO_WORKER = "¹ While no worker runs.\n"


@dataclass(frozen=True)
class Row:
    """A request and its expected answer. call: None for a path that is no call. idle: sent while no worker runs."""

    status: Status
    call: Call | None
    code: int
    request: str
    idle: bool = False


IMG = "-F img=@hopper.jpg"

OWN = {
    (Status.PERSON_ID_NOT_EXIST, SEARCH_FACE): f"-d person_id={ID}",
    (Status.IMAGE_INVALID_FORMAT, ADD_FACE): "-F img=@hello.txt",
    (Status.IMAGE_INVALID_FORMAT, COMPARE_FACES): "-F img1=@half.jpg -F img2=@hopper.jpg",
    (Status.PERSON_ID_NOT_EXIST, ADD_FACE): f"{IMG} -F person_id={ID}",
    (Status.INVALID_REQUEST, ADD_FACE): f"{IMG} -F 'name=Grace Hopper'",
    (Status.INVALID_REQUEST, SEARCH_FACE): f"{IMG} -F facedb=nobodys",
    (Status.INVALID_REQUEST, COMPARE_FACES): "-F img1=@hopper.jpg",
    (Status.INVALID_REQUEST, UPDATE_PERSON): "-d 'name=Grace Hopper'",
    (Status.INVALID_REQUEST, LIST_FACEDBS): "-X GET -d facedb=default",
}
"""Parameters that provoke a status of one call, where those for all calls do not."""

LAST_IMAGE = {
    Status.NO_SIMILAR_FACE: "astronaut.png",
    Status.FACE_DETECT_FAILED: "coffee.png",
    Status.IMAGE_INVALID_SIZE: "large.jpg",
    Status.IMAGE_INVALID_FORMAT: "half.jpg",
}
"""The file that, as the last image of a request, provokes a status of any call."""


def simplest(call: Call) -> str:
    """Return a valid request with the parameters that are required."""
    return _request(call, _images(call) or _texts(call))


def request_for(status: Status, call: Call) -> str:
    """Return a request that is answered with the status."""
    if (status, call) in OWN:
        return _request(call, OWN[status, call])
    if status in LAST_IMAGE:
        return _request(call, _images(call, LAST_IMAGE[status]))
    if status is Status.INVALID_REQUEST:
        return _request(call, "-d name=Grace") if call.has_body else _request(call, query="?facedb=nobodys")
    return _request(call, " ".join(filter(None, (_images(call), _texts(call)))))


def with_method(call: Call, method: str) -> str:
    """Return a request of that method to the path of the call."""
    return f"ask {_path(call)} -X {method}"


def _request(call: Call, parameters: str = "", query: str = "") -> str:
    """Return a request with these options of curl, and that query string."""
    where = f"'{_path(call)}{query}'" if query else _path(call)
    # curl makes a POST of what has parameters, and a GET of all else.
    method = "" if call.method in ("GET", "POST") else f"-X {call.method}"
    return " ".join(filter(None, (f"ask {where}", method, parameters)))


def _path(call: Call) -> str:
    return call.path.removeprefix("/").format(**call.example)


def _images(call: Call, last: str = "hopper.jpg") -> str:
    files = ["hopper.jpg"] * (len(call.image_parameters) - 1) + [last]
    return " ".join(f"-F {name}=@{file}" for name, file in zip(call.image_parameters, files, strict=False))


def _texts(call: Call) -> str:
    option = "-F" if call.image_parameters else "-d"
    texts = (f"{option} {name}={value}" for name, value in call.example.items() if name not in call.path_parameters)
    return " ".join(texts)


def rows() -> Iterator[Row]:
    """Yield the rows in the order in which they are run."""
    for status in Status:
        for call in sorted((call for call in CALLS if status in call.statuses), key=_changes_last):
            if status is Status.FAIL:
                yield Row(status, call, 503, simplest(call), idle=True)
                continue
            if status is Status.OK and call in (DELETE_PERSON, DELETE_FACE_OF_PERSON):  # it is deleted by now
                yield Row(status, ADD_FACE, 200, request_for(status, ADD_FACE))
            yield Row(status, call, 200, request_for(status, call))
    for call in CALLS:
        yield Row(Status.INVALID_REQUEST, call, 401, f"KEY=wrong {simplest(call)}")
    for call in CALLS:
        key = "SEARCHES" if call.scope is Scope.ADD else "ADDS"
        yield Row(Status.INVALID_REQUEST, call, 403, f"KEY=${key} {simplest(call)}")
    for call in CALLS:
        yield Row(Status.FAIL, call, 429, f"KEY=$SLOW {simplest(call)}")
    for call in CALLS:
        yield Row(Status.INVALID_REQUEST, call, 405, with_method(call, "PUT" if call.path_parameters else _other(call)))
    yield Row(Status.INVALID_REQUEST, None, 404, f"ask v1/findface {IMG}")


def _changes_last(call: Call) -> bool:
    """Order calls so that the face of the table is there until the last request of a status needs it."""
    return call.scope is Scope.DELETE


def _other(call: Call) -> str:
    """Return a method that the path of the call does not take."""
    return "GET" if call.method == "POST" else "POST"


def table(service: Service) -> str:
    """Run every row and return the section. Raises AssertionError for an answer that is not the expected one."""
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
        _run(f"KEY=$SLOW {simplest(DELETE_FACE)}", folder, here)
        lines, identifier = [], ID
        for row in rows():
            answer, code = _run(row.request.replace(ID, identifier), folder, there if row.idle else here)
            assert (code, f'{{"status": "{row.status}"' in answer) == (row.code, True), (row, answer, code)
            assert body_breach(code, answer, row.call) is None, (row, answer, code)
            added = UUID.search(answer)
            if added and row.call is ADD_FACE:
                identifier = added[0]
            lines.append(_line(row, re.sub(TIME, ADDED, UUID.sub(ID, answer))))
        _require_metered(service, tenant)
    return f"{INTRODUCTION}{''.join(lines)}\n{NO_WORKER}"


def written(document: str) -> tuple[str, str, str]:
    """Split the document into the text before the table, the table, and the text after it."""
    before, _, rest = document.partition(MARKS[0])
    section, mark, after = rest.partition(MARKS[1])
    assert mark, "the marks of the table are missing"
    return before + MARKS[0], section, MARKS[1] + after


def _line(row: Row, answer: str) -> str:
    charged = "charged" if row.call and row.status in row.call.charged else "free"
    mark = "¹" if row.idle else ""
    call = f"{row.call}{mark}" if row.call else ""
    return f"| `{row.status}` | {call} | {row.code} | {charged} | `{row.request}` | `{answer}` |\n"


def _run(request: str, folder: Path, environment: Mapping[str, str]) -> tuple[str, int]:
    """Run a request and return the text and the HTTP code of its answer."""
    output = subprocess.run(
        ["bash", "-c", f"{ASK}\n{request}"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    answer, _, code = output.rpartition(" ")
    return answer, int(code)


def _require_metered(service: Service, tenant: str) -> None:
    """Wait until every request with HTTP 200 is counted once."""
    expected = Counter((row.call.name, row.status) for row in rows() if row.call and row.code == 200)

    async def read() -> list[usage.Usage]:
        async with Redis.from_url(service.broker) as redis:
            return await usage.read(redis, usage.Period(), tenant)

    def counted() -> bool:
        found = {(used.call, used.status): used.count for used in asyncio.run(read()) if used.status is not Status.FAIL}
        return found == expected

    wait_for(counted)


@contextmanager
def _folder() -> Iterator[Path]:
    """Yield a folder with the images that the requests name."""
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
