"""The audit trail: every change of tenants, keys and facedbs by the admin API and by commands, and wrong admin keys."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from estimating import DONE, worker
from facesearch.cli.main import main
from gateway.admin import auditing
from gateway.admin.app import create_admin_app
from gateway.admin.operations import OPERATIONS
from gateway.admin.wrong_keys import BURST
from homes import Home, done
from shared import audit
from shared.settings import Settings

KEY = "the key of the admin API"


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[TestClient]:
    app = create_admin_app(Settings(redis_url=valkey_url, admin_key=KEY))
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[AsyncRedis]:
    async with AsyncRedis.from_url(valkey_url) as client:
        yield client


async def send(client: TestClient, method: str, path: str, body: Any = None, key: str = KEY) -> tuple[int, Any]:
    async with client.request(method, f"/admin/v1{path}", json=body, headers={"X-Admin-Key": key}) as response:
        return response.status, (await response.json())["message"]


async def trail(redis: AsyncRedis) -> list[dict[str, Any]]:
    """Return the kept events without their times."""
    return [event.model_dump(exclude_none=True, exclude={"at"}) for event in await audit.last(redis, 1000)]


class TestOverHttp:
    async def test_every_change_is_logged_and_kept(self, client: TestClient, redis: AsyncRedis) -> None:
        with structlog.testing.capture_logs() as logs:
            await send(client, "POST", "/tenants", {"name": "shop"})
            _, key = await send(client, "POST", "/tenants/shop/keys", {"name": "till"})
            await send(client, "POST", "/tenants/shop/facedbs", {"name": "staff"})
            await send(client, "PUT", "/tenants/shop/default-facedb", {"facedb": "staff"})
            await send(client, "DELETE", "/tenants/shop/facedbs/default")
            async with worker(redis, DONE):
                for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/undo"), ("POST", "")):
                    assert (await send(client, method, f"/tenants/shop/facedbs/staff/confidence{path}"))[0] == 200
            where = "/tenants/shop/facedbs/staff/retention"
            await send(client, "PUT", where, {"days": 30, "confirmed": True})
            await send(client, "DELETE", where)
            _, made = await send(client, "POST", "/tenants/shop/webhook-secret")
            await send(client, "POST", "/tenants/shop/dead-webhooks/retry")
            await send(client, "DELETE", "/tenants/shop/webhook-secret")
            await send(client, "DELETE", f"/tenants/shop/keys/{key['id']}")
            await send(client, "DELETE", "/tenants/shop")
        by = "admin API, 127.0.0.1"
        expected = [
            {"action": "tenant.create", "by": by, "tenant": "shop"},
            {"action": "key.create", "by": by, "tenant": "shop", "key": key["id"]},
            {"action": "facedb.create", "by": by, "tenant": "shop", "facedb": "staff"},
            {"action": "facedb.default", "by": by, "tenant": "shop", "facedb": "staff"},
            {"action": "facedb.drop", "by": by, "tenant": "shop", "facedb": "default"},
            {"action": "facedb.calibrate", "by": by, "tenant": "shop", "facedb": "staff"},
            {"action": "facedb.uncalibrate", "by": by, "tenant": "shop", "facedb": "staff"},
            {"action": "facedb.undo-calibrate", "by": by, "tenant": "shop", "facedb": "staff"},
            {"action": "facedb.retention", "by": by, "tenant": "shop", "facedb": "staff", "days": 30},
            {"action": "facedb.retention-off", "by": by, "tenant": "shop", "facedb": "staff"},
            {"action": "tenant.webhook-secret", "by": by, "tenant": "shop"},
            {"action": "webhooks.retry", "by": by, "tenant": "shop"},
            {"action": "tenant.webhook-secret-off", "by": by, "tenant": "shop"},
            {"action": "key.revoke", "by": by, "tenant": "shop", "key": key["id"]},
            {"action": "tenant.drop", "by": by, "tenant": "shop"},
        ]
        assert await trail(redis) == expected
        logged = [line for line in logs if line["event"] == "audit"]
        assert logged == [{"event": "audit", "log_level": "warning", **event} for event in expected]
        # Those that need a worker are in test_operators_and_persons.py.
        without_worker = {o.action for o in OPERATIONS if o.action and not o.asks_worker}
        assert {e["action"] for e in expected} == without_worker | {"facedb.retention"}
        assert key["key"] not in json.dumps(logs, default=str)
        assert made["secret"] not in json.dumps([logs, await trail(redis)], default=str)

    def test_every_operation_that_changes_something_is_audited(self) -> None:
        assert {o.perform.__name__ for o in OPERATIONS if o.action is None} == {
            "estimate_confidence",
            *(o.perform.__name__ for o in OPERATIONS if o.method == "GET"),
        }

    def test_audit_events_are_logged_at_the_default_level(self) -> None:
        """`facesearch up` logs warnings and errors."""
        assert logging.getLevelNamesMapping()[Settings().log_level.upper()] <= logging.WARNING

    async def test_a_refused_change_is_not_in_the_trail(self, client: TestClient, redis: AsyncRedis) -> None:
        assert (await send(client, "DELETE", "/tenants/nobody"))[0] == 404
        assert (await send(client, "GET", "/tenants"))[0] == 200
        assert await trail(redis) == []

    async def test_a_change_is_done_and_logged_if_the_trail_cannot_be_written(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def hung(*_: object) -> None:
            await asyncio.sleep(3600)

        monkeypatch.setattr(auditing, "keep", hung)
        monkeypatch.setattr(auditing, "KEEP_S", 0.1)
        with structlog.testing.capture_logs() as logs:
            assert (await send(client, "POST", "/tenants", {"name": "shop"}))[0] == 201
        assert [line["event"] for line in logs if "audit" in line["event"]] == ["audit", "audit_not_kept"]


class TestWrongKeys:
    async def test_wrong_keys_are_rate_limited_and_the_right_one_never(self, client: TestClient) -> None:
        answers = [await send(client, "GET", "/tenants", key=f"wrong {number}") for number in range(BURST + 30)]
        assert [status for status, _ in answers[:BURST]] == [401] * BURST
        assert [status for status, _ in answers[BURST:]] == [429] * 30
        async with client.get("/admin/v1/tenants", headers={"X-Admin-Key": "wrong"}) as response:
            assert response.status == 429
            assert 1 <= int(response.headers["Retry-After"]) <= 6
            assert await response.json() == {"status": "FAIL", "message": "please try again later"}
        for _ in range(3):
            assert (await send(client, "GET", "/tenants"))[0] == 200

    async def test_many_wrong_keys_are_a_few_events_with_counts(self, valkey_url: str, redis: AsyncRedis) -> None:
        app = create_admin_app(Settings(redis_url=valkey_url, admin_key=KEY))
        with structlog.testing.capture_logs() as logs:
            async with TestClient(TestServer(app)) as client:
                for number in range(200):
                    await send(client, "POST", "/tenants", {"name": "x"}, key=f"guess {number}")
        events = [line for line in logs if line["event"] == "audit"]
        assert 1 <= len(events) <= 3
        assert {line["by"] for line in events} == {"admin API, 127.0.0.1"}
        assert sum(line["attempts"] for line in events) == 200
        assert {line["log_level"] for line in events} == {"warning"}
        kept = await trail(redis)
        assert sum(event["attempts"] for event in kept) == 200
        assert {event["action"] for event in kept} == {audit.WRONG_KEY}
        assert "guess" not in json.dumps([logs, kept], default=str)

    async def test_wrong_keys_push_no_change_out_of_the_trail(self, redis: AsyncRedis) -> None:
        await audit.keep(redis, audit.Event(action="tenant.drop", by="command, ada on desk", tenant="shop"))
        for _ in range(audit.REFUSALS_KEPT + 500):
            await audit.keep(redis, audit.Event(action=audit.WRONG_KEY, by="admin API, 192.0.2.1", attempts=1))
        assert await redis.xlen(audit.REFUSED) < audit.REFUSALS_KEPT + 200, "streams are cut by whole nodes"
        assert await redis.xlen(audit.CHANGES) == 1

    async def test_wrong_keys_are_audited_while_the_gateway_runs(
        self, valkey_url: str, redis: AsyncRedis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(auditing, "WRONG_KEYS_EVERY_S", 0.01)
        app = create_admin_app(Settings(redis_url=valkey_url, admin_key=KEY))
        async with TestClient(TestServer(app)) as client, asyncio.timeout(30):
            await send(client, "GET", "/tenants", key="wrong")
            while not await trail(redis):
                await asyncio.sleep(0.01)


class TestCommands:
    def test_every_change_is_logged_on_stderr_and_kept(self, valkey_url: str) -> None:
        said = []

        def run(line: str) -> str:
            result = CliRunner().invoke(main, line.split(), env={"REDIS_URL": valkey_url}, catch_exceptions=False)
            assert result.exit_code == 0, result.output
            said.extend(json.loads(one) for one in result.stderr.splitlines() if one.startswith("{"))
            return result.stdout

        run("tenants create shop")
        secret = run("keys create --tenant shop --name till").strip()
        run("tenants list")
        run("facedbs create staff --tenant shop")
        run("facedbs default staff --tenant shop")
        run("facedbs drop default --tenant shop --yes")
        key = json.loads(run("keys list --tenant shop --json"))[0]["id"]
        run(f"keys revoke {key} --tenant shop")
        run("tenants drop shop --yes")
        actions = [
            ("tenant.create", "tenant shop"),
            ("key.create", f"tenant shop, key {key}"),
            ("facedb.create", "tenant shop, facedb staff"),
            ("facedb.default", "tenant shop, facedb staff"),
            ("facedb.drop", "tenant shop, facedb default"),
            ("key.revoke", f"tenant shop, key {key}"),
            ("tenant.drop", "tenant shop"),
        ]
        assert [(line["event"], line["action"], line["level"]) for line in said] == [
            ("audit", action, "warning") for action, _ in actions
        ]
        head, *rows = run("audit").splitlines()
        assert re.fullmatch(r"WHEN +ACTION +WHAT +BY", head)
        assert [tuple(re.split(r" {2,}", row)[1:3]) for row in rows] == actions
        assert all(re.search(r"  command, \S.* on \S+$", row) for row in rows)
        assert secret not in json.dumps(said) + "".join(rows)
        assert len(json.loads(run("audit --json --last 2"))) == 2

    def test_a_refused_command_is_not_in_the_trail(self, valkey_url: str) -> None:
        result = CliRunner().invoke(main, ["tenants", "drop", "nobody", "--yes"], env={"REDIS_URL": valkey_url})
        assert result.exit_code == 1
        with Redis.from_url(valkey_url) as redis:
            assert not redis.exists(audit.CHANGES)

    @pytest.mark.embedded("it is about a data directory of its own")
    def test_erase_and_restore(self, tmp_path: Path) -> None:
        home, other = Home(tmp_path / "home"), tmp_path / "other"
        done("erase", "--now", "--data-dir", home.folder)
        done("backup", tmp_path / "backup", "--data-dir", home.folder)
        done("restore", tmp_path / "backup", "--data-dir", other)
        with home.broker() as redis:
            assert [fields[b"action"] for _, fields in redis.xrange(audit.CHANGES)] == [b"erase"]
        home.folder = other
        with home.broker() as redis:
            assert [fields[b"action"] for _, fields in redis.xrange(audit.CHANGES)] == [b"restore"]
