"""The call log of a gateway: which entries there are, and that none is lost where the disk is full for a while."""

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from aiohttp import ServerDisconnectedError, web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import ConnectionError as RedisConnectionError
from yarl import URL

from call_logs import write_two
from facesearch.call_log.verification import Report, verify
from gateway.app_keys import CALL_LOG
from gateway.call_log import files as files_module
from gateway.call_log import log as log_module
from gateway.call_log.files import Files
from gateway.call_log.log import CallLog
from gateway.calls.logged import FACEDB, GIVEN, MOST_IDS, deliveries_logged, ids_in, logged
from gateway.calls.preferences import KNOWN
from gateway.http.answers import answer, replayed
from gateway.http.middleware import errors, request_id
from gateway.metrics import CallLogMetrics
from gateway.webhooks.sending import Refused
from shared.call_log import chain as chain_module
from shared.call_log.chain import Seal, new_chain
from shared.call_log.heads import HEADS, Head
from shared.calls import CALLS, DELETE_FACE, GET_JOB
from shared.contract import Status
from shared.control import Key, Scope
from shared.errors import Forbidden, OperatorError, Unauthorized

WRITE = os.write

KEY = Key(id="k1", tenant="shop", name="till", scopes=frozenset(Scope), created=0)
PERSON = "4fbd9474-e09f-4e7d-9a2f-06fa1167f67e"
OTHER = "154fa1b2-9a21-4e67-8ea3-075c76162900"

JOB_ID = f"{'a' * 12}.{'b' * 32}"


class Broker:
    """Holds the heads."""

    def __init__(self) -> None:
        self.heads: dict[str, str] = {}

    async def hset(self, name: str, chain: str, record: str) -> None:
        assert name == HEADS
        self.heads[chain] = record

    async def hvals(self, _name: str) -> list[str]:
        return [*self.heads.values()]

    async def hdel(self, _name: str, *chains: str) -> None:
        for chain in chains:
            del self.heads[chain]


def call_log(folder: Path, broker: Broker, **more: Any) -> CallLog:
    opened = CallLog(folder, Seal(), 180, broker, "00000000000a", CallLogMetrics(), **more)
    opened.open()
    return opened


def check(folder: Path, broker: Broker) -> Report:
    return verify([folder], Seal(), map(Head.model_validate_json, broker.heads.values()), 180)


def entries(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of all files, without what every entry has."""
    lines = [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_bytes().splitlines()]
    return [{name: value for name, value in each.items() if name not in ("n", "at", "hash")} for each in lines]


class HalfAYearAgo(datetime):
    """Stands for the clock of a gateway of that time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) - timedelta(days=182)


class FullDisk:
    """Stands for os.write: takes as many bytes as `takes` says, then fails as a full disk does."""

    def __init__(self, takes: list[int]) -> None:
        self.takes = takes

    def __call__(self, file: int, data: bytes) -> int:
        if not self.takes:
            return WRITE(file, data)
        count = self.takes.pop(0)
        if count == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return WRITE(file, data[:count])


class TestADiskThatIsFullForAWhile:
    @settings(max_examples=50)
    @given(takes=st.lists(st.integers(0, 300), max_size=40))
    def test_loses_no_entry_and_no_part_of_one(self, takes: list[int]) -> None:
        with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
            folder = Path(name)
            files = Files(folder, new_chain("00000000000a", datetime.now(UTC)), "desk", Seal())
            patch.setattr(files_module.os, "write", FullDisk(takes), raising=True)
            files.turn()
            for number in range(20):
                files.append("call", {"number": number})
            while files.waiting:
                files.write()
            assert files.failure is None
            files.close()
            assert [each["number"] for each in entries(folder)[1:]] == [*range(20)]
            assert verify([folder], Seal(), None, 180).problems == []

    async def test_calls_are_refused_when_no_more_entries_may_wait(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker = Broker()
        log = call_log(tmp_path, broker, most_waiting=3)
        full = FullDisk([0] * 100)
        monkeypatch.setattr(files_module.os, "write", full)
        app = application(log)
        async with TestClient(TestServer(app)) as client:
            answered = [await status(client, "/v1/delface") for _ in range(6)]
            assert answered == [(200, "OK")] * 3 + [(503, "FAIL")] * 3
            full.takes.clear()
            assert log.is_full
            assert await log.sync()
            assert await status(client, "/v1/delface") == (200, "OK")
        await log.close()
        assert [each["event"] for each in entries(tmp_path)] == ["open", *["call"] * 4, "close"]
        assert check(tmp_path, broker).problems == []

    async def test_what_cannot_be_written_at_the_end_is_a_logged_loss(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = call_log(tmp_path, Broker())
        monkeypatch.setattr(log_module, "CLOSE_S", 0.0)
        monkeypatch.setattr(files_module.os, "write", FullDisk([0] * 100))
        await log.close()
        assert [each["event"] for each in entries(tmp_path)] == ["open"]

    def test_a_folder_that_cannot_be_used_is_an_error_of_operators(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OperatorError, match=r"^cannot write the call log in .*file: .*FACESEARCH_CALL_LOG_DIR$"):
            call_log(tmp_path / "file", Broker())


def application(log: CallLog) -> web.Application:
    """Return an application with one answer for each way in which a call can end."""

    async def known(request: web.Request) -> web.Response:
        request[KNOWN] = KEY
        request[GIVEN] = DELETE_FACE.parameters(facedb="staff", person_id=PERSON)
        request[FACEDB] = "staff"
        person = {"person_id": OTHER, "name": "Eileen", "metadata": {"person_id": PERSON}, "confidence": 97}
        return replayed(Status.OK, [person]) if "replay" in request.query else answer(Status.OK, [person])

    async def path(request: web.Request) -> web.Response:
        request[KNOWN] = KEY
        raise Forbidden("this key may not search")

    async def unknown(_request: web.Request) -> web.Response:
        raise Unauthorized("no")

    async def job(request: web.Request) -> web.Response:
        request[KNOWN] = KEY
        return answer(Status.OK, [{"person_id": OTHER}])

    async def ended(request: web.Request) -> web.Response:
        request[KNOWN] = KEY
        raise asyncio.CancelledError

    async def crash(request: web.Request) -> web.Response:
        request[KNOWN] = KEY
        raise RuntimeError(PERSON)

    app = web.Application(middlewares=[request_id, logged, errors])
    app[CALL_LOG] = log
    handlers = {
        "delface": known,
        "getperson": path,
        "searchface": unknown,
        "addface": crash,
        "facecompare": ended,
    }
    for name, handler in handlers.items():
        (call,) = (each for each in CALLS if each.name == name)
        app.router.add_route(call.method, call.path, handler, name=name)
    app.router.add_get("/healthz", unknown)
    app.router.add_get(GET_JOB.path, job, name=GET_JOB.name)
    return app


async def status(client: TestClient, path: str, method: str = "POST") -> tuple[int, str]:
    async with client.request(method, path) as response:
        return response.status, (await response.json())["status"]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[TestClient]:
    log = call_log(tmp_path, Broker())
    async with TestClient(TestServer(application(log))) as client:
        yield client
    await log.close()


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Any]:
    """Return the entries that are written so far, without the first and without ids of requests."""

    def read() -> list[dict[str, Any]]:
        found = entries(tmp_path)[1:]
        for each in found:
            if each["event"] == "call":
                assert len(each.pop("request_id")) == 32
        return found

    return read


class TestAge:
    async def test_old_files_and_heads_go_and_entries_say_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker = Broker()
        with monkeypatch.context() as past:
            past.setattr(chain_module, "datetime", HalfAYearAgo)
            old = write_two(tmp_path, Seal())
        for head in old:
            record = head.model_copy(update={"at": HalfAYearAgo.now(UTC)}).model_dump_json()
            broker.heads[head.chain] = record
        log = call_log(tmp_path, broker)
        monkeypatch.setattr(log_module, "SYNC_S", 0.001)
        running = asyncio.create_task(log.run())
        async with asyncio.timeout(30):
            while broker.heads.keys() & {head.chain for head in old} or not broker.heads:
                await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait([running])
        await log.close()
        removed = [each for each in entries(tmp_path) if each["event"] == "removed"]
        assert [(each["chain"], each["file"]) for each in removed] == [
            *((old[0].chain, number) for number in (1, 2, 3)),
            (old[1].chain, 1),
        ]
        assert check(tmp_path, broker).problems == []
        present = map(Head.model_validate_json, broker.heads.values())
        assert verify([tmp_path], Seal(), [*old, *present], 180).problems == []

    async def test_files_stay_while_the_entry_about_them_has_no_head(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as past:
            past.setattr(chain_module, "datetime", HalfAYearAgo)
            write_two(tmp_path, Seal())
        tried = asyncio.Event()

        class Away(Broker):
            async def hset(self, *_: str) -> None:
                tried.set()
                raise RedisConnectionError

        log = call_log(tmp_path, Away())
        monkeypatch.setattr(log_module, "SYNC_S", 0.001)
        monkeypatch.setattr(log_module, "RETRY_S", 1.0)
        monkeypatch.setattr(log_module, "CLOSE_S", 0.0)
        running = asyncio.create_task(log.run())
        for _ in range(3):
            await tried.wait()
            tried.clear()
        running.cancel()
        await asyncio.wait([running])
        await log.close()
        assert [each["event"] for each in entries(tmp_path)].count("open") == 5


class TestEntries:
    async def test_a_call_has_its_key_facedb_ids_and_status_and_nothing_of_the_person(
        self, client: TestClient, written: Any
    ) -> None:
        await status(client, "/v1/delface")
        await status(client, "/v1/delface?replay")
        entry = {
            "event": "call",
            "call": "delface",
            "tenant": "shop",
            "key": "k1",
            "facedb": "staff",
            "person_id": PERSON,
            "status": "OK",
            "person_ids": [OTHER],
        }
        assert written() == [entry, entry | {"replayed": True}]

    def test_files_are_their_owners_alone(self, tmp_path: Path) -> None:
        folder = tmp_path / "calls"
        call_log(folder, Broker())
        assert [path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())] == [0o700, 0o600]

    async def test_what_a_key_may_not_do_is_an_entry_with_the_ids_of_the_path(
        self, client: TestClient, written: Any
    ) -> None:
        await status(client, f"/v1/persons/{PERSON}", "GET")
        await status(client, "/v1/persons/Grace", "GET")
        entry = {"event": "call", "call": "getperson", "tenant": "shop", "key": "k1", "status": "INVALID_REQUEST"}
        assert written() == [entry | {"person_id": PERSON}, entry]

    async def test_a_crash_is_an_entry(self, client: TestClient, written: Any) -> None:
        assert await status(client, "/v1/addface") == (503, "FAIL")
        assert written() == [{"event": "call", "call": "addface", "tenant": "shop", "key": "k1", "status": "FAIL"}]

    async def test_a_request_that_the_end_of_the_gateway_cuts_off_is_one(
        self, client: TestClient, written: Any
    ) -> None:
        """What it asked for may have been done."""
        with pytest.raises(ServerDisconnectedError):
            await status(client, "/v1/facecompare")
        assert written() == [{"event": "call", "call": "facecompare", "tenant": "shop", "key": "k1"}]

    async def test_the_look_up_of_a_job_is_one(self, client: TestClient, written: Any) -> None:
        await status(client, f"/v1/jobs/{JOB_ID}", "GET")
        entry = {"event": "call", "call": "getjob", "tenant": "shop", "key": "k1", "job_id": JOB_ID, "status": "OK"}
        assert written() == [entry | {"person_ids": [OTHER]}]

    async def test_a_delivered_webhook_is_one(self, tmp_path: Path) -> None:
        log = call_log(tmp_path, Broker())
        answers = [None, Refused("500")]

        async def send(*_: object) -> None:
            answer = answers.pop(0)
            if answer is not None:
                raise answer

        deliver = deliveries_logged(log, send)
        message = [{"person_id": OTHER, "name": "Grace"}]
        body = json.dumps({"job_id": JOB_ID, "status": "OK", "message": message}).encode()
        await deliver(URL("https://shop.example/hook?token=secret"), body, {})
        with pytest.raises(Refused):
            await deliver(URL("https://shop.example/hook"), body, {})
        entry = {"event": "call", "call": "webhook", "host": "shop.example", "status": "OK", "job_id": JOB_ID}
        await log.close()
        assert entries(tmp_path)[1:] == [entry | {"person_ids": [OTHER]}, {"event": "close"}]

    async def test_requests_without_a_key_are_counted(self, written: Any, tmp_path: Path) -> None:
        log = call_log(tmp_path, Broker())
        async with TestClient(TestServer(application(log))) as client:
            for _ in range(5):
                await status(client, "/v1/searchface")
        assert written() == []
        await log.close()
        refused = {"event": "refused", "call": "searchface", "status": "INVALID_REQUEST", "count": 5}
        assert written() == [refused, {"event": "close"}]

    async def test_other_paths_are_none(self, client: TestClient, written: Any) -> None:
        async with client.get("/healthz"), client.get("/v1/nothing"):
            assert written() == []


class TestIds:
    def test_of_an_answer_are_bounded(self) -> None:
        ids = [f"00000000-0000-0000-0000-{number:012}" for number in range(MOST_IDS + 7)]
        found = ids_in([{"matches": [{"person_id": each, "face_id": each} for each in ids]}])
        assert found == {"person_ids": ids[:MOST_IDS], "face_ids": ids[:MOST_IDS], "more": 7}

    def test_are_those_of_a_job(self) -> None:
        assert ids_in({"job_id": JOB_ID, "state": "waiting"}) == {"job_id": JOB_ID}

    @settings(max_examples=30)
    @given(
        st.recursive(
            st.text() | st.none() | st.integers(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["person_id", "metadata", "name"]), inner),
        )
    )
    def test_are_nothing_that_a_caller_made_up(self, message: object) -> None:
        assert ids_in(message) == {}
