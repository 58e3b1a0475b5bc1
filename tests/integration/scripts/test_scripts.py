"""Each Lua script of the product on a real Valkey: its result and its changes, by its KEYS and ARGV.

tests/architecture/test_lua.py requires a `test_<name>` for each file.
"""

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from gateway.access import limits
from gateway.calls import metering
from gateway.dispatch import idempotency
from processes import empty_redis
from shared import asynchronous, fair_queue, webhooks, worker_request
from shared.broker import UNACKED, UNACKED_INDEX
from shared.jobs import QUEUE
from worker import ledger
from worker.delivery import channel, ending
from worker.ledger import line
from worker.upkeep import kept_answers

FOREVER = time.time() + 3600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with empty_redis(tmp_path_factory.mktemp("valkey")) as url, Redis.from_url(url, decode_responses=True) as redis:
        yield redis


@pytest.fixture
def redis(server: Redis) -> Redis:
    server.flushdb()
    return server


class TestDelivery:
    def test_take(self, redis: Redis) -> None:
        redis.eval(channel._TAKE, 2, UNACKED_INDEX, UNACKED, 5, "tag", "message")
        assert redis.zrange(UNACKED_INDEX, 0, -1, withscores=True) == [("tag", 5)]
        assert redis.hgetall(UNACKED) == {"tag": "message"}

    def test_end_job(self, redis: Redis) -> None:
        redis.eval(fair_queue.ANNOUNCE, 0, "worker", 1, 0, 60)
        for job in ("first", "second"):
            redis.eval(fair_queue.ENTER, 0, "t", job, fair_queue.item(job, FOREVER, job))
        redis.eval(channel._TAKE, 2, UNACKED_INDEX, UNACKED, 5, "tag", redis.rpop(QUEUE))
        for outcome in ("outcome", "another"):
            redis.eval(ending._END, 1, "result", "t", "first", 1.5, "tag", outcome, 15)
        assert (redis.get("result"), redis.ttl("result")) == ("outcome", 15), "the first one counts"
        assert redis.exists(UNACKED, UNACKED_INDEX) == 0
        assert redis.lrange(QUEUE, 0, -1) == ["second"]


class TestFairQueue:
    def test_enter(self, redis: Redis) -> None:
        redis.eval(fair_queue.ENTER, 0, "t", "job", fair_queue.item("job", FOREVER, "message"))
        assert redis.lrange(QUEUE, 0, -1) == ["message"], "no worker announced threads: released at once"
        assert redis.hgetall("fs:fair:running") == {"t": "1"}
        assert redis.exists("fs:fair:line:t", fair_queue.HELD, fair_queue.WAITING) == 0

    def test_announce(self, redis: Redis) -> None:
        redis.eval(fair_queue.ANNOUNCE, 0, "worker", 2, 1, 60)
        assert redis.hgetall("fs:fair:slots") == {"threads": "2", "extra": "1"}
        redis.eval(fair_queue.ANNOUNCE, 0, "other", 4, 2, 60)
        assert redis.hgetall("fs:fair:slots") == {"threads": "6", "extra": "3"}
        for worker in ("worker", "other"):
            redis.eval(fair_queue.ANNOUNCE, 0, worker, 0, 0, 60)
        assert redis.exists("fs:fair:slots", "fs:fair:workers") == 0

    def test_done(self, redis: Redis) -> None:
        redis.eval(fair_queue.ANNOUNCE, 0, "worker", 1, 0, 60)
        for job in ("first", "second"):
            redis.eval(fair_queue.ENTER, 0, "t", job, fair_queue.item(job, FOREVER, job))
        assert (redis.lrange(QUEUE, 0, -1), redis.llen(fair_queue.HELD)) == (["first"], 1)
        redis.eval(fair_queue.DONE, 0, "t", "first", 1.5)
        assert (redis.lrange(QUEUE, 0, -1), redis.llen(fair_queue.HELD)) == (["second", "first"], 0)
        assert redis.zscore("fs:fair:used", "t") == pytest.approx(1.5 + fair_queue.NOMINAL_S)

    def test_withdraw(self, redis: Redis) -> None:
        redis.eval(fair_queue.ANNOUNCE, 0, "worker", 1, 0, 60)
        items = {job: fair_queue.item(job, FOREVER, job) for job in ("released", "waiting")}
        for job, item in items.items():
            redis.eval(fair_queue.ENTER, 0, "t", job, item)
        for job in ("waiting", "released"):
            redis.eval(fair_queue.WITHDRAW, 0, "t", job, items[job], job)
        assert redis.exists(QUEUE, "fs:fair:line:t", fair_queue.HELD, fair_queue.WAITING, "fs:fair:running") == 0

    def test_is_lost(self, redis: Redis) -> None:
        def is_lost() -> int:
            return redis.eval(fair_queue.IS_LOST, 0, "t", "tag")

        assert is_lost() == 1
        redis.lpush("fs:fair:line:t", "another")
        assert is_lost() == 0, "it may be among those that wait"
        redis.delete("fs:fair:line:t")
        redis.hset("unacked", "tag", "taken")
        assert is_lost() == 0, "a worker has it"


class TestLineOfUniqueAdds:
    """Two origins, of which `first` comes first."""

    def enter(self, redis: Redis, origin: str) -> list[str]:
        return redis.eval(line._ENTER, 1, "line", origin, 15)

    def test_enter_line(self, redis: Redis) -> None:
        place, decided, *before = self.enter(redis, "first")
        assert (int(place) / 1e6, decided, before) == (pytest.approx(time.time(), abs=60), "", [])
        later, _, *before = self.enter(redis, "second")
        assert (int(later) > int(place), before) == (True, ["first"])
        assert self.enter(redis, "first") == [place, ""], "it keeps its place"
        assert 0 < redis.ttl("line") <= ledger.WRITE_S
        redis.hset("line", "first", f"{place} 1 ")
        assert self.enter(redis, "second") == [later, ""]
        assert redis.hkeys("line") == ["second"], "the time of the other one is over"
        again, _, *before = self.enter(redis, "first")
        assert (int(again) > int(later), before) == (True, ["second"]), "its former place is never given again"

    def test_decide_unique(self, redis: Redis) -> None:
        place = self.enter(redis, "first")[0]

        def decide(at: str, decision: str) -> str | None:
            return redis.eval(line._DECIDE, 1, "line", "first", at, decision)

        assert decide("1", "x") is None, "that was searched at another place"
        assert [decide(place, "x"), decide(place, "y")] == ["x", "x"]
        assert self.enter(redis, "first") == [place, "x"]
        assert int(redis.hget("line", "first").split()[1]) - time.time() == pytest.approx(ledger.WRITE_S, abs=5)
        redis.hset("line", "first", f"{place} 1 x")
        assert decide(place, "x") is None, "its time is over"
        redis.delete("line")
        assert decide(place, "x") is None

    def test_leave_line(self, redis: Redis) -> None:
        def leave(at: str, done: int) -> int:
            return redis.eval(line._LEAVE, 1, "line", "first", at, done)

        place = self.enter(redis, "first")[0]
        assert [leave("1", 1), redis.hlen("line")] == [0, 1], "it has another place now"
        assert [leave(place, 0), redis.hlen("line")] == [1, 0]
        place = self.enter(redis, "first")[0]
        redis.eval(line._DECIDE, 1, "line", "first", place, "x")
        assert [leave(place, 0), redis.hlen("line")] == [0, 1], "what it decided may be written yet"
        assert [leave(place, 1), redis.hlen("line"), leave(place, 1)] == [1, 0, 1]


class TestAsynchronous:
    """Jobs of tenant t, of which the workers' one thread takes one at a time. Its day of usage is 2026-01-01."""

    DAY = "2026-01-01"

    def submit(self, redis: Redis, job: str, *record: str, size: int = 0, deadline: float = FOREVER) -> str:
        redis.eval(fair_queue.ANNOUNCE, 0, "worker", 1, 0, 60)
        fields = {"call": "addface", "usage": "t|k|addface|", "item": fair_queue.item(job, deadline, job), "tag": job}
        about = [job, "t", deadline, size, 3, 1000, *(part for pair in fields.items() for part in pair)]
        keys = [asynchronous.key_of(job), *record]
        return redis.eval(asynchronous.SUBMIT, len(keys), *keys, *about)

    def finish(self, redis: Redis, job: str, status: str = "OK") -> int:
        return redis.eval(asynchronous.FINISH, 0, job, f"outcome of {job}", status, self.DAY)

    def watch(self, redis: Redis, after_s: float = -1) -> tuple[int, list[str], list[str]]:
        """Look after jobs, those that were sent long enough ago, and return what the script does."""
        redis.delete("fs:async:watched")
        return redis.eval(asynchronous.WATCH, 0, 900, 5, after_s, 100, "failed", self.DAY, 30)

    def test_submit_async(self, redis: Redis) -> None:
        redis.hset("record", "origin", "a")
        assert self.submit(redis, "first", "record", size=600) == "first"
        assert redis.lrange(QUEUE, 0, -1) == ["first"]
        assert redis.hget("record", "job") == "first"
        assert self.submit(redis, "again", "record") == "first", "the same request"
        assert self.submit(redis, "large", size=300) == asynchronous.FULL, "more than its share of the 1,000 bytes"
        assert [self.submit(redis, job) for job in ("second", "third", "fourth")] == ["second", "third", ""]
        assert redis.lrange("fs:async:line:t", 0, -1) == ["third", "second"]
        assert redis.hgetall(asynchronous.HELD_BYTES) == {"t": "600", asynchronous.EVERYBODY: "600"}
        self.finish(redis, "first", "FAIL")
        assert self.submit(redis, "anew", "record") == "anew", "what failed is tried again"

    def test_finish_async(self, redis: Redis) -> None:
        for job in ("first", "second"):
            self.submit(redis, job, size=100)
        assert [self.finish(redis, "first"), self.finish(redis, "first")] == [1, 0]
        ended = redis.hgetall(asynchronous.key_of("first"))
        assert (ended["outcome"], ended["status"], "item" in ended) == ("outcome of first", "OK", False)
        assert 0 < redis.ttl(asynchronous.key_of("first")) <= asynchronous.KEEP_S
        assert redis.hgetall(f"fs:usage:{self.DAY}") == {"t|k|addface|OK": "1"}
        assert redis.smembers("fs:usage:days") == {self.DAY}
        assert redis.zrange("fs:async:out", 0, -1) == ["t second"]
        assert self.finish(redis, "second") == 1
        assert self.finish(redis, "unknown") == 0
        left = {asynchronous.key_of("first"), asynchronous.key_of("second"), "fs:async:watched"}
        assert set(redis.keys("fs:async:*")) <= left

    def test_a_job_under_a_key_that_was_answered_is_not_counted(self, redis: Redis) -> None:
        redis.hset("record", "answered", "1")
        self.submit(redis, "job", "record")
        self.finish(redis, "job")
        assert redis.exists(f"fs:usage:{self.DAY}") == 0

    def test_finishing(self, redis: Redis) -> None:
        for job in ("first", "second"):
            self.submit(redis, job)
        redis.eval(channel._TAKE, 2, UNACKED_INDEX, UNACKED, 5, "first", redis.rpop(QUEUE))
        arguments = ["t", "first", 1.5, "first", "stored", 15, "outcome", "OK", self.DAY]
        redis.eval(ending._END_ASYNCHRONOUS, 1, "result", *arguments)
        assert redis.hget(asynchronous.key_of("first"), "outcome") == "outcome"
        assert (redis.get("result"), redis.exists(UNACKED)) == ("stored", 0)
        assert redis.lrange(QUEUE, 0, -1) == ["second"]

    def test_put_back(self, redis: Redis) -> None:
        redis.eval(fair_queue.ANNOUNCE, 0, "worker", 1, 0, 60)
        for job in ("job-1", "job-2"):
            self.submit(redis, job)
        redis.eval(fair_queue.ENTER, 0, "t", "waited-for", fair_queue.item("waited-for", FOREVER, "waited-for"))
        redis.eval(channel._TAKE, 2, UNACKED_INDEX, UNACKED, 5, "job-1", redis.rpop(QUEUE))
        redis.eval(ending._PUT_BACK, 0, "t", "job-1", 1.5, "job-1", "tag-2")
        assert redis.exists(UNACKED, UNACKED_INDEX) == 0
        assert redis.lrange(QUEUE, 0, -1) == ["waited-for"]
        assert redis.hget(asynchronous.key_of("job-1"), "tag") == "tag-2"
        redis.rpop(QUEUE)
        redis.eval(fair_queue.DONE, 0, "t", "waited-for", 1)
        assert redis.lrange(QUEUE, 0, -1) == ["tag-2"], "the job's message here is its tag"
        self.finish(redis, "job-1")
        redis.eval(ending._PUT_BACK, 0, "t", "job-1", 1.5, "tag-2", "tag-3")
        assert not redis.hexists(asynchronous.key_of("job-1"), "item"), "one that has ended is not put back"

    def test_watch_async(self, redis: Redis) -> None:
        assert self.watch(redis) is None, "there is none"
        self.submit(redis, "late", deadline=time.time() - 6)
        self.submit(redis, "first")
        assert self.watch(redis, after_s=60) == [1, [], []]
        assert redis.hmget(asynchronous.key_of("late"), "outcome", "status") == ["failed", "FAIL"]
        assert redis.lrange(QUEUE, 0, -1) == ["first"]
        assert self.watch(redis) == [0, [], []], "it waits in the queue"
        redis.hset(UNACKED, "first", redis.rpop(QUEUE))
        assert self.watch(redis) == [0, [], []], "a worker has it"
        redis.delete(UNACKED)
        assert self.watch(redis) == [0, ["first"], []]
        assert redis.lrange(QUEUE, 0, -1) == ["first"]
        redis.set("celery-task-meta-first", "result")
        assert self.watch(redis) == [0, [], ["first", "result"]]
        assert redis.eval(asynchronous.WATCH, 0, 900, 5, -1, 100, "failed", self.DAY, 30) is None, "done just now"

    def test_a_waiting_job_is_not_lost_and_gets_in_when_there_are_more_threads(self, redis: Redis) -> None:
        for job in ("first", "second"):
            self.submit(redis, job)
        redis.eval(fair_queue.ANNOUNCE, 0, "other", 1, 0, 60)
        assert self.watch(redis) == [0, [], []]
        assert redis.lrange(QUEUE, 0, -1) == ["second", "first"]


class TestWebhooks:
    def queue(self, redis: Redis, job: str, tenant: str = "t", outcome: str = "{}") -> None:
        """Have the outcome of a job delivered, as its end does."""
        text = f"{webhooks.COMMON}\nqueue_webhook(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])"
        redis.eval(text, 0, tenant, job, "https://a.example/", "decimals", outcome)

    def claim(self, redis: Redis, *left_out: str, most: int = 10, of_one: int = 2, lease_s: float = 30) -> list[str]:
        return redis.eval(webhooks.CLAIM, 0, most, of_one, lease_s, *left_out)

    def settle(self, redis: Redis, job: str, how: str, pause_s: float = 0, why: str = "") -> int:
        return redis.eval(webhooks.SETTLE, 0, "t", job, how, pause_s, why)

    def test_the_end_of_a_job_makes_its_delivery(self, redis: Redis) -> None:
        job = TestAsynchronous()
        job.submit(redis, "job")
        redis.hset(asynchronous.key_of("job"), mapping={"webhook": "https://a.example/", "form": "whole"})
        job.finish(redis, "job")
        made = redis.hgetall(webhooks.delivery_key("job"))
        assert (made["tenant"], made["url"], made["form"], made["outcome"]) == (
            *("t", "https://a.example/", "whole"),
            "outcome of job",
        )
        assert not redis.hexists(asynchronous.key_of("job"), "webhook")
        assert self.claim(redis) == ["t", "job"]

    def test_claim_webhooks(self, redis: Redis) -> None:
        for number in range(3):
            self.queue(redis, f"t{number}")
            self.queue(redis, f"u{number}", "u")
        claimed = self.claim(redis, most=3)
        assert (claimed.count("t") + claimed.count("u"), len(claimed)) == (3, 6)
        assert set(self.claim(redis, "u")[::2]) <= {"t"}
        assert set(self.claim(redis)[::2]) == {"u"}, "those of the other are leased"
        assert self.claim(redis) == []
        self.queue(redis, "killed")
        assert self.claim(redis, lease_s=-1) == ["t", "killed"]
        assert self.claim(redis) == ["t", "killed"], "whose gateway was killed, so that the lease ended"

    def test_settle_webhook(self, redis: Redis) -> None:
        for job in ("one", "two"):
            self.queue(redis, job)
        assert sorted(self.claim(redis)[1::2]) == ["one", "two"]
        assert self.settle(redis, "one", webhooks.DELIVERED) == 1
        assert self.settle(redis, "one", webhooks.DELIVERED) == 0
        assert redis.exists(webhooks.delivery_key("one")) == 0
        self.settle(redis, "two", webhooks.RETRY, 60, "HTTP 500")
        assert redis.hmget(webhooks.delivery_key("two"), "attempts", "why") == ["1", "HTTP 500"]
        assert self.claim(redis) == []
        self.settle(redis, "two", webhooks.DEAD_NOW, 0, "HTTP 500")
        assert redis.hget(webhooks.delivery_key("two"), "attempts") == "2"
        assert redis.zrange(webhooks.DEAD, 0, -1, withscores=True) == [("t", 1)]
        assert redis.exists(webhooks.WAITING, "fs:webhook:tenants", "fs:webhook:due:t") == 0
        assert 0 < redis.ttl(webhooks.delivery_key("two")) <= webhooks.KEEP_DEAD_S

    def test_a_delivery_that_is_not_kept_any_more_is_forgotten(self, redis: Redis) -> None:
        self.queue(redis, "job")
        redis.delete(webhooks.delivery_key("job"))
        self.settle(redis, "job", webhooks.RETRY)
        assert redis.keys("fs:webhook:*") == []

    def test_revive_webhooks(self, redis: Redis) -> None:
        for job in ("one", "two"):
            self.queue(redis, job)
            self.settle(redis, job, webhooks.DEAD_NOW, 0, "HTTP 500")
        redis.delete(webhooks.delivery_key("two"))
        assert redis.eval(webhooks.REVIVE, 0, "t") == 1
        assert self.claim(redis) == ["t", "one"]
        assert redis.hget(webhooks.delivery_key("one"), "attempts") == "0"
        assert redis.exists(webhooks.DEAD, "fs:webhook:dead:t") == 0

    def test_what_waits_and_what_is_dead_are_bounded(self, redis: Redis) -> None:
        redis.zadd("fs:webhook:due:t", {f"waiting{number}": FOREVER for number in range(webhooks.MOST_WAITING)})
        redis.zadd("fs:webhook:dead:t", {f"dead{number}": time.time() - 60 for number in range(webhooks.MOST_DEAD)})
        redis.zadd("fs:webhook:dead:t", {"old": time.time() - webhooks.KEEP_DEAD_S - 1})
        self.queue(redis, "one")
        assert redis.hget(webhooks.delivery_key("one"), "why") == "too many wait"
        assert redis.zcard("fs:webhook:dead:t") == webhooks.MOST_DEAD
        assert redis.zscore("fs:webhook:dead:t", "old") is None


class TestLedger:
    def test_draw_names(self, redis: Redis) -> None:
        def draw(origin: str, count: int) -> int:
            return redis.eval(ledger._DRAW, 2, "counter", f"drawn:{origin}", count, 60)

        assert [draw("a", 3), draw("b", 1), draw("a", 3)] == [0, 3, 0]
        assert redis.get("counter") == "4"
        assert 0 < redis.ttl("drawn:a") <= 60

    def test_skip_names(self, redis: Redis) -> None:
        for count in (3, 2, 0):
            redis.eval(ledger._SKIP, 1, "counter", count)
            assert redis.get("counter") == "3"

    def test_begin_adding(self, redis: Redis) -> None:
        keys = ["dropped", "adding:0", "adding:1", "deletion:0", "deletion:1", "record"]
        redis.set("deletion:1", "somebody")
        redis.set("record", "", ex=1000)
        assert redis.eval(ledger._BEGIN, len(keys), *keys, "collection", "job", 75, 320, 2) == [1]
        assert redis.zrange("adding:0", 0, -1) == [ledger.OPEN, "job"]
        assert redis.exists("adding:1") == 0
        assert 1000 < redis.ttl("adding:0") <= 1320
        redis.zadd("dropped", {"collection": 1})
        assert redis.eval(ledger._BEGIN, len(keys), *keys, "collection", "job", 75, 320, 2) is None

    def test_end_adding(self, redis: Redis) -> None:
        for face in range(2):
            redis.zadd(f"adding:{face}", {"job": 1, "other": 1})
        redis.set("deletion:1", "somebody")
        assert redis.eval(ledger._END, 4, "adding:0", "adding:1", "deletion:0", "deletion:1", "job") == [1]
        assert [redis.zrange(f"adding:{face}", 0, -1) for face in range(2)] == [["other"], ["other"]]

    def test_claim_deletion(self, redis: Redis) -> None:
        def claim(origin: str) -> int:
            return redis.eval(ledger._CLAIM, 2, "deletion", "adding", origin, 30, 320)

        assert [claim("a"), claim("b"), claim("a")] == [1, 0, 1]
        assert 300 < redis.ttl("deletion") <= 320
        redis.zadd("adding", {"job": time.time() + 60})
        assert claim("a") == ledger._WRITTEN

    def test_bar_adding(self, redis: Redis) -> None:
        def bar(origin: str, keep: int = 920) -> int:
            return redis.eval(ledger._BAR, 2, "deletion", "adding", origin, keep)

        redis.zadd("adding", {"job": time.time() + 60})
        assert bar("a") == ledger._WRITTEN
        assert redis.exists("deletion") == 0
        redis.zadd("adding", {"job": 1, ledger.OPEN: 0})
        redis.expire("adding", 5000)
        assert bar("a") == 1
        assert redis.get("deletion") == "a 0", "others may claim the deletion"
        assert 4990 < redis.ttl("deletion") <= 5001, "as long as the add may be repeated"
        redis.set("deletion", "b 2000000000", ex=10)
        assert bar("a") == 1
        assert redis.get("deletion") == "b 2000000000", "a claim that is there stays"
        assert redis.ttl("deletion") > 4990

    def test_release_deletion(self, redis: Redis) -> None:
        redis.set("deletion", "a 2000000000", ex=320)
        redis.eval(ledger._RELEASE, 1, "deletion", "b")
        assert redis.get("deletion") == "a 2000000000", "not the one who holds it"
        redis.eval(ledger._RELEASE, 1, "deletion", "a")
        assert redis.get("deletion") == "a 0"
        assert 300 < redis.ttl("deletion") <= 320

    def test_keep_outcome(self, redis: Redis) -> None:
        def keep(outcome: str) -> str:
            return redis.eval(ledger._KEEP, 4, "record", "order", "drawn", "adding", outcome, 2, 60)

        assert keep("late") == "late"
        assert redis.exists("record") == 0, "an expired record is not made again"
        redis.hset("record", "origin", "a")
        redis.zadd("adding", {ledger.OPEN: 0})
        redis.rpush("order", "digest")
        redis.set("drawn", 7, ex=1000)
        assert [keep("first"), keep("second")] == ["first", "first"]
        assert redis.hgetall("record") == {"outcome": "first"}
        assert redis.lrange("order", 0, -1) == ["digest", "", ""]
        assert redis.exists("adding") == 0
        assert 0 < redis.ttl("drawn") <= 60


class TestGateway:
    def test_limits(self, redis: Redis) -> None:
        def take(lease: str, interval_us: int, concurrency: int) -> int:
            return redis.eval(
                limits._TAKE.text, 2, "rate", "leases", interval_us, interval_us, concurrency, lease, 10**7
            )

        assert [take("a", 0, 2), take("b", 0, 2), take("c", 0, 2)] == [limits._PAID, limits._PAID, limits._TOO_MANY]
        assert redis.zrange("leases", 0, -1) == ["a", "b"]
        hour_us = 3_600_000_000
        assert take("d", hour_us, 0) == limits._PAID
        assert 0 < take("e", hour_us, 0) <= hour_us
        assert 0 < redis.ttl("leases") <= 10
        assert 0 < redis.ttl("rate") <= 3600

    def test_idempotency_begin(self, redis: Redis) -> None:
        def begin(key: str, asked: str, most: int = 2) -> list[str | None]:
            arguments = [asked, f"request-{key}", 60, bytes.fromhex(key), "once:", most]
            return redis.eval(idempotency._BEGIN.text, 2, f"once:{key}", "order", *arguments)

        # Text, which the client may decode.
        first, second, third = ("61" * 32, "62" * 32, "63" * 32)
        assert begin(first, "x") == ["x", f"request-{first}", None]
        assert begin(first, "y") == ["x", f"request-{first}", None], "what was asked first"
        begin(second, "x")
        begin(third, "x")
        assert sorted(redis.keys("once:*")) == [f"once:{second}", f"once:{third}"], "the oldest is forgotten"
        assert redis.lrange("order", 0, -1) == ["b" * 32, "c" * 32]
        assert 0 < redis.ttl(f"once:{third}") <= 60

    def test_idempotency_answer(self, redis: Redis) -> None:
        def answer() -> int:
            return redis.eval(idempotency._ANSWER.text, 1, "record")

        assert [answer(), answer()] == [1, 1], "without a record every request is allowed"
        redis.hset("record", "outcome", "{}")
        assert [answer(), answer()] == [1, 0]

    def test_metering(self, redis: Redis) -> None:
        def add(batch: int) -> None:
            redis.eval(metering._ADD, 3, "batch", "days", "day", batch, 60, "2026-01-01", "a", 2, "b", 1)

        add(1)
        add(1)
        add(2)
        assert redis.hgetall("day") == {"a": "4", "b": "2"}, "a batch that is sent again counts once"
        assert (redis.smembers("days"), redis.get("batch")) == ({"2026-01-01"}, "2")


def test_kept_answers(redis: Redis) -> None:
    redis.hset("record", "outcome", "old")
    assert redis.eval(kept_answers._REPLACE, 1, "record", "outcome", "other", "new") == 0
    assert redis.eval(kept_answers._REPLACE, 1, "record", "outcome", "old", "new") == 1
    assert redis.hgetall("record") == {"outcome": "new"}


def test_worker_request(redis: Redis) -> None:
    def renew(text: str, seconds: int) -> int:
        return redis.eval(worker_request.RENEW, 1, "request", text, seconds)

    redis.set("request", "ours")
    assert [renew("theirs", 15), redis.ttl("request")] == [0, -1]
    assert renew("ours", 15) == 1
    assert 0 < redis.ttl("request") <= 15
    assert [renew("theirs", 0), renew("ours", 0), redis.exists("request")] == [0, 1, 0]
