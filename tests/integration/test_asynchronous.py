"""Asynchronous calls on a real service: 202 at once, and later the outcome that the call would have been answered."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from contract.tenants import new_tenant
from portraits import astronaut_png, faceless_png, hopper_jpeg
from processes import gateway, two_free_ports, wait_for
from service import Service
from shared.asynchronous import DEADLINE_S, KEEP_S, key_of
from shared.broker import UNACKED, UNACKED_INDEX
from shared.control import DROP_AFTER_S, Scope
from shared.usage import Period, Usage, read

ASYNC = {"Prefer": "respond-async"}
WAITING_S = 60


def accepted(answer: httpx.Response) -> str:
    """Return the id of the job that a request became."""
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["message"]["job_id"]
    assert answer.json() == {"status": "OK", "message": {"job_id": job_id}}
    assert answer.headers["Location"] == f"/v1/jobs/{job_id}"
    assert answer.headers["Preference-Applied"] == "respond-async"
    return job_id


def ended(http: httpx.Client, job_id: str) -> httpx.Response:
    """Return the answer of a job once it has an outcome; until then it says that it waits."""
    answers: list[httpx.Response] = []

    def has_ended() -> bool:
        answers.append(http.get(f"/v1/jobs/{job_id}"))
        if answers[-1].status_code != 202:
            return True
        assert answers[-1].json() == {"status": "OK", "message": {"job_id": job_id, "state": "waiting"}}
        assert answers[-1].headers["Retry-After"] == "1"
        return False

    wait_for(has_ended, WAITING_S)
    return answers[-1]


class Caller:
    """A new tenant of the service, and what it sends. keys: its API keys by name."""

    def __init__(self, service: Service) -> None:
        self.broker = service.broker
        self.tenant, self.keys = new_tenant(
            service.broker,
            ALL={},
            ADDS={"scopes": frozenset({Scope.ADD})},
            CODES={"http_status": "always-200", "confidence": "whole"},
            SLOW={"rate": 0.001},
        )
        self._address = service.address

    def http(self, key: str = "ALL") -> httpx.Client:
        return httpx.Client(base_url=self._address, headers={"X-API-Key": self.keys[key]}, timeout=150)

    def usage(self) -> list[Usage]:
        async def rows() -> list[Usage]:
            async with Redis.from_url(self.broker) as redis:
                return await read(redis, Period(), self.tenant)

        return asyncio.run(rows())

    def counted(self) -> dict[tuple[str, str], int]:
        return {(row.call, row.status): row.count for row in self.usage()}


@pytest.fixture(scope="module")
def caller(service: Service) -> Caller:
    return Caller(service)


@pytest.fixture
def http(caller: Caller) -> Iterator[httpx.Client]:
    with caller.http() as client:
        yield client


Post = Callable[..., httpx.Response]


@pytest.fixture
def post(http: httpx.Client) -> Post:
    """Send a call that is not waited for."""

    def send(
        call: str, image: bytes | None = None, headers: dict[str, str] | None = None, **data: str
    ) -> httpx.Response:
        files = {} if image is None else {"img": image}
        return http.post(f"/v1/{call}", data=data, files=files, headers={**ASYNC, **(headers or {})})

    return send


def test_outcomes_are_what_the_calls_would_have_been_answered(http: httpx.Client, post: Post) -> None:
    added = ended(http, accepted(post("addface", hopper_jpeg(), name="Grace"))).json()
    assert added["status"] == "OK"
    (face,) = added["message"]
    assert face["name"] == "Grace"
    for call, image, data in (
        ("searchface", hopper_jpeg(), {}),
        ("searchface", astronaut_png(), {}),
        ("searchface", faceless_png(), {}),
        ("delface", None, {"person_id": str(uuid.uuid4())}),
    ):
        later = ended(http, accepted(post(call, image, **data)))
        now = http.post(f"/v1/{call}", data=data, files={} if image is None else {"img": image})
        assert (later.status_code, later.text) == (now.status_code, now.text)
        assert ("X-Job-Id" in later.headers, "X-Job-Id" in now.headers) == (True, False)
    assert ended(http, accepted(post("delface", person_id=face["person_id"]))).json()["status"] == "OK"


def test_a_request_that_is_refused_is_refused_at_once(post: Post) -> None:
    refused = post("addface", b"no image", name="Grace")
    assert (refused.status_code, refused.json()["status"]) == (200, "IMAGE_INVALID_FORMAT")
    assert "Preference-Applied" not in refused.headers


@pytest.mark.parametrize("preference", ["wait=5", "return=minimal", "respond-asynchronously", ""])
def test_a_request_with_other_preferences_is_answered_as_ever(http: httpx.Client, preference: str) -> None:
    answer = http.post("/v1/delface", data={"person_id": "nobody"}, headers={"Prefer": preference})
    assert (answer.status_code, answer.json()["status"]) == (200, "PERSON_ID_NOT_EXIST")


def test_the_preference_is_found_among_others(http: httpx.Client) -> None:
    data = {"person_id": str(uuid.uuid4())}
    accepted(http.post("/v1/delface", data=data, headers={"Prefer": "wait=5, Respond-Async; x=1"}))


def test_a_get_is_answered_at_once_whatever_is_preferred(http: httpx.Client) -> None:
    assert http.get("/v1/facedbs", headers=ASYNC).status_code == 200


def test_a_job_is_seen_by_its_tenant_alone_and_with_the_scope_of_its_call(
    service: Service, caller: Caller, http: httpx.Client, post: Post
) -> None:
    job_id = accepted(post("searchface", hopper_jpeg()))
    found = ended(http, job_id)
    with caller.http("ADDS") as adds:
        assert adds.get(f"/v1/jobs/{job_id}").status_code == 403
    unknown = http.get(f"/v1/jobs/{job_id[:-1]}{'0' if job_id[-1] != '0' else '1'}")
    assert (unknown.status_code, unknown.json()["status"]) == (404, "INVALID_REQUEST")
    for other in (service.http.get(f"/v1/jobs/{job_id}"), http.get("/v1/jobs/none")):
        assert (other.status_code, other.text) == (unknown.status_code, unknown.text)
    assert httpx.get(f"{service.address}/v1/jobs/{job_id}").status_code == 401
    assert http.get(f"/v1/jobs/{job_id}").text == found.text, "it is kept"


def test_a_job_is_answered_in_the_form_that_the_key_asks_for(caller: Caller, http: httpx.Client) -> None:
    with caller.http("CODES") as codes:
        data = {"person_id": str(uuid.uuid4())}
        answer = codes.post("/v1/delface", data=data, headers=ASYNC)
        assert answer.status_code == 200
        job_id = answer.json()["message"]["job_id"]
        assert ended(http, job_id).status_code == 200
        assert codes.get("/v1/jobs/none").status_code == 200


def test_a_job_is_metered_once_as_it_ends(service: Service) -> None:
    caller = Caller(service)
    with caller.http() as http:
        image = {"img": hopper_jpeg()}
        ids = [accepted(http.post("/v1/searchface", files=image, headers=ASYNC)) for _ in range(3)]
        key = {"Idempotency-Key": "k", **ASYNC}
        ids += [accepted(http.post("/v1/searchface", files=image, headers=key)) for _ in range(2)]
        for job_id in ids:
            ended(http, job_id)
        assert accepted(http.post("/v1/searchface", files=image, headers=key)) == ids[-1]
        http.post("/v1/delface", data={"person_id": "nobody"})  # its count is flushed after all others
    wait_for(lambda: ("delface", "PERSON_ID_NOT_EXIST") in caller.counted())
    counted = caller.counted()
    counted.pop(("getjob", "OK"), None)  # how often it was looked up too early
    assert counted == {
        ("searchface", "NO_SIMILAR_FACE"): 4,
        ("getjob", "NO_SIMILAR_FACE"): 5,
        ("delface", "PERSON_ID_NOT_EXIST"): 1,
    }


def test_look_ups_are_free_counted_and_limited_by_the_rate_of_their_key(service: Service) -> None:
    caller = Caller(service)
    with caller.http("SLOW") as http:
        assert [http.get("/v1/jobs/none").status_code for _ in range(2)] == [404, 429]
    wait_for(lambda: caller.counted() == {("getjob", "INVALID_REQUEST"): 1, ("getjob", "FAIL"): 1})
    assert not any(row.charged for row in caller.usage())


def test_a_repetition_is_the_same_job(http: httpx.Client, post: Post) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first, second = (accepted(post("addface", hopper_jpeg(), key, name="Once")) for _ in range(2))
    assert first == second
    added = ended(http, first).json()["message"]
    assert accepted(post("addface", hopper_jpeg(), key, name="Once")) == first
    waited_for = http.post("/v1/addface", files={"img": hopper_jpeg()}, data={"name": "Once"}, headers=key)
    assert waited_for.json()["message"] == added
    assert waited_for.headers["Idempotent-Replayed"] == "true"
    other = post("addface", hopper_jpeg(), key, name="Other").json()
    assert other["status"] == "INVALID_REQUEST"
    http.post("/v1/delface", data={"person_id": added[0]["person_id"]})


def test_what_was_answered_under_the_key_before_is_answered_at_once(http: httpx.Client, post: Post) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    data = {"person_id": str(uuid.uuid4())}
    first = http.post("/v1/delface", data=data, headers=key)
    again = post("delface", None, key, **data)
    assert (again.status_code, again.text) == (200, first.text)
    assert "Preference-Applied" not in again.headers


def test_nothing_of_a_job_is_left_but_its_outcome_for_an_hour(service: Service, http: httpx.Client, post: Post) -> None:
    job_id = accepted(post("searchface", faceless_png()))
    ended(http, job_id)
    with BlockingRedis.from_url(service.broker) as redis:
        assert KEEP_S - 60 < redis.ttl(key_of(job_id)) <= KEEP_S
        assert not redis.hexists(key_of(job_id), "item")
        socket = str(Path(service.broker.removeprefix("unix://")).with_name("images.sock"))
        with BlockingRedis(unix_socket_path=socket) as images:
            wait_for(lambda: not images.keys(f"fs:image:{job_id}*"))


def test_a_dropped_facedb_is_kept_until_no_job_can_write_to_it() -> None:
    assert DROP_AFTER_S > DEADLINE_S


@contextmanager
def lonely_gateway(folder: Path, **settings: object) -> Iterator[tuple[httpx.Client, BlockingRedis]]:
    """Run a gateway without a worker. Yields a client of it, and of its broker."""
    with gateway(folder, **settings) as client, BlockingRedis(unix_socket_path=str(folder / "v.sock")) as redis:
        yield client, redis


@pytest.mark.embedded("it looks into a broker of its own")
def test_limits_of_waiting_jobs_and_the_end_of_one_that_nobody_does(tmp_path: Path) -> None:
    port = two_free_ports()
    with lonely_gateway(tmp_path, async_jobs=3, async_images_mib=8, metrics_port=port) as (http, redis):
        nobody = {"person_id": str(uuid.uuid4())}
        job_id, *_ = [accepted(http.post("/v1/delface", data=nobody, headers=ASYNC)) for _ in range(3)]
        full = http.post("/v1/delface", data=nobody, headers=ASYNC)
        assert (full.status_code, full.json()["status"], full.headers["Retry-After"]) == (503, "FAIL", "5")

        tenant = redis.hget(key_of(job_id), "tenant").decode()
        redis.zadd("fs:async:jobs", {f"{tenant} {job_id}": time.time() - 60})  # as if its time was over
        wait_for(lambda: http.get(f"/v1/jobs/{job_id}").status_code != 202)
        failed = http.get(f"/v1/jobs/{job_id}")
        assert failed.headers["X-Job-Id"] == job_id, "it is the outcome"
        assert (failed.status_code, failed.json()) == (503, {"status": "FAIL", "message": "please try again later"})
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        assert "facesearch_asynchronous_expired_total 1.0" in metrics
        assert 'facesearch_asynchronous_accepted_total{call="delface"} 3.0' in metrics
        accepted(http.post("/v1/delface", data=nobody, headers=ASYNC))


@pytest.mark.embedded("it looks into a broker of its own")
def test_images_of_waiting_jobs_are_bounded(tmp_path: Path) -> None:
    with lonely_gateway(tmp_path, async_images_mib=8) as (http, redis):
        image = {"img": hopper_jpeg().ljust(2 << 20, b"\0")}
        answers = [http.post("/v1/searchface", files=image, headers=ASYNC) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 503]
        assert len(redis.keys("fs:image:*")) == 3


@pytest.mark.embedded("it looks into a broker of its own")
def test_a_job_that_a_worker_took_and_lost_is_sent_again(tmp_path: Path) -> None:
    with lonely_gateway(tmp_path) as (http, redis):
        accepted(http.post("/v1/delface", data={"person_id": str(uuid.uuid4())}, headers=ASYNC))
        first = redis.rpop("facesearch")  # as a worker does that is then killed
        wait_for(lambda: redis.llen("facesearch") == 1)
        assert redis.lindex("facesearch", 0) == first


@pytest.mark.embedded("it looks into a broker of its own")
def test_a_job_that_a_worker_took_long_ago_and_never_gave_back_is_sent_again(tmp_path: Path) -> None:
    with lonely_gateway(tmp_path) as (http, redis):
        job_id = accepted(http.post("/v1/delface", data={"person_id": str(uuid.uuid4())}, headers=ASYNC))
        first, tag = redis.rpop("facesearch"), redis.hget(key_of(job_id), "tag")
        redis.hset(UNACKED, tag, "as a worker notes it, whose connection breaks then")
        redis.zadd(UNACKED_INDEX, {tag: time.time() - 3600})
        wait_for(lambda: redis.llen("facesearch") == 1)
        assert redis.lindex("facesearch", 0) == first
