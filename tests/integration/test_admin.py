"""The admin API on a real Valkey: its operations, its refusals and their messages."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest
from aiohttp.test_utils import TestClient, TestServer

from estimating import DONE, worker
from gateway.admin import document as admin
from gateway.admin import estimates, wrong_keys
from gateway.admin.app import CONTROL, create_admin_app
from gateway.admin.bodies import MAX_BODY_BYTES, DefaultFacedb, ErasedPersons, SetRetention
from gateway.admin.operations import OPERATIONS
from shared import last_backup
from shared.confidence import REQUEST, Progress
from shared.control import Scope
from shared.heartbeat import WORKERS, Heartbeat, heartbeat_key
from shared.jobs import QUEUE
from shared.last_backup import LastBackup
from shared.settings import Settings
from shared.webhooks import WAITING

KEY = "the key of the admin API"
SHOP = "/tenants/shop"
DOCUMENT = admin.document()

BODIES = {DefaultFacedb: {"facedb": "f"}, SetRetention: {"days": 1}, ErasedPersons: {"name": "n"}}
"""Bodies of operations that take no name."""

Send = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[TestClient]:
    app = create_admin_app(Settings(redis_url=valkey_url, admin_key=KEY))
    async with TestClient(TestServer(app), headers={"X-Admin-Key": KEY}) as client:
        yield client


@pytest.fixture
async def send(client: TestClient) -> Send:
    """Send a request and return its HTTP status and message; the contract status must agree."""

    async def send(method: str, path: str, body: object = None, **options: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        async with client.request(method, f"/admin/v1{path}", data=data, **options) as response:
            said = await response.json()
            assert set(said) == {"status", "message"}
            expected = "OK" if response.ok else "FAIL" if response.status == 503 else "INVALID_REQUEST"
            assert said["status"] == expected
            assert response.headers["X-Request-Id"]
            assert documented(method, response.url.path, response.status, said)
            return response.status, said["message"]

    return send


def documented(method: str, path: str, status: int, said: dict[str, Any]) -> bool:
    """Return whether the OpenAPI document has such an answer; unknown paths need not be in it."""
    for template, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path) and method.lower() in operations:
            answer = operations[method.lower()]["responses"][str(status)]
            if "$ref" in answer:
                answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            schema = answer["content"]["application/json"]["schema"] | {"components": DOCUMENT["components"]}
            jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(said)
            return True
    return status == 404


class TestOperations:
    async def test_tenants(self, send: Send) -> None:
        status, made = await send("POST", "/tenants", {"name": "shop"})
        assert status == 201
        assert set(made) == {"name", "facedb", "created"}
        assert (made["name"], made["facedb"]) == ("shop", "default")
        assert datetime.fromisoformat(made["created"]).tzinfo
        assert await send("GET", SHOP) == (200, made)
        assert await send("GET", "/tenants") == (200, [made])
        assert await send("DELETE", SHOP) == (200, "tenant shop dropped")
        assert await send("GET", "/tenants") == (200, [])

    async def test_keys(self, send: Send, client: TestClient) -> None:
        await send("POST", "/tenants", {"name": "shop"})
        wanted = {"name": "till", "scopes": ["search"], "expires": "2999-01-31", "rate": 5, "concurrency": 2}
        wanted |= {"http_status": "always-200", "confidence": "whole"}
        status, made = await send("POST", f"{SHOP}/keys", wanted)
        assert status == 201
        secret = made.pop("key")
        assert re.fullmatch(r"fs_[A-Za-z0-9_-]{32}", secret)
        assert made == {
            **wanted,
            "tenant": "shop",
            "expires": "2999-01-31T00:00:00Z",
            "id": made["id"],
            "created": made["created"],
        }
        status, listed = await send("GET", f"{SHOP}/keys")
        assert listed == [made], "without the key itself"
        control = client.app[CONTROL]
        key = await control.key(secret)
        assert key is not None
        assert key.scopes == {Scope.SEARCH}
        assert await send("DELETE", f"{SHOP}/keys/{made['id']}") == (200, f"key {made['id']} revoked")
        assert await send("GET", f"{SHOP}/keys") == (200, [])
        assert await control.key(secret) is None

    async def test_a_key_created_with_its_name_alone_has_default_options(self, send: Send) -> None:
        await send("POST", "/tenants", {"name": "shop"})
        for body in ({"name": "k"}, {"name": "k", "expires": None, "rate": None, "concurrency": None}):
            _, made = await send("POST", f"{SHOP}/keys", body)
            assert made["scopes"] == ["add", "search", "delete"]
            assert made["expires"] is made["rate"] is made["concurrency"] is None
            assert made["http_status"] is made["confidence"] is None

    async def test_facedbs(self, send: Send) -> None:
        await send("POST", "/tenants", {"name": "shop"})
        status, made = await send("POST", f"{SHOP}/facedbs", {"name": "extra"})
        assert status == 201
        assert made["name"] == "extra"
        _, listed = await send("GET", f"{SHOP}/facedbs")
        assert [facedb["name"] for facedb in listed] == ["default", "extra"]
        status, tenant = await send("PUT", f"{SHOP}/default-facedb", {"facedb": "extra"})
        assert (status, tenant["facedb"]) == (200, "extra")
        assert await send("DELETE", f"{SHOP}/facedbs/default") == (200, "facedb default dropped")

    async def test_confidences_of_a_facedb(self, send: Send, client: TestClient) -> None:
        await send("POST", "/tenants", {"name": "shop"})
        where = f"{SHOP}/facedbs/default/confidence"
        assert await send("GET", where) == (200, None)
        assert await send("DELETE", where) == (
            409,
            "the confidences of facedb default are given by the model's calibration already",
        )
        async with worker(client.app[CONTROL].redis, DONE):
            status, estimate = await send("POST", where)
            assert (status, estimate["faces"], estimate["levels"][0]["ask"]) == (200, 900, 88.5)
            assert await send("GET", where) == (200, None), "an estimate changes nothing"
            status, kept = await send("PUT", where)
        assert (status, kept["version"], kept["former"]) == (200, 1, None)
        assert kept["table"]["points"] == estimate["points"]
        assert kept["by"] == kept["table"]["by"] == "admin API, 127.0.0.1"
        assert await send("GET", where) == (200, kept)
        status, removed = await send("DELETE", where)
        assert (status, removed["version"], removed["table"], removed["former"]) == (200, 2, None, kept["table"])
        status, undone = await send("POST", f"{where}/undo")
        assert (status, undone["version"], undone["table"], undone["former"]) == (200, 3, kept["table"], None)

    async def test_retention_of_a_facedb(self, send: Send) -> None:
        await send("POST", "/tenants", {"name": "shop"})
        where = f"{SHOP}/facedbs/default/retention"
        assert await send("GET", where) == (200, None)
        assert (await send("DELETE", where))[0] == 409
        status, kept = await send("PUT", where, {"days": 365, "confirmed": True})
        assert (status, kept["days"], kept["by"]) == (200, 365, "admin API, 127.0.0.1")
        assert await send("GET", where) == (200, kept)
        assert (await send("GET", f"{SHOP}/facedbs"))[1][0]["retention_days"] == 365
        assert (await send("PUT", where, {"days": 400}))[0] == 200, "nothing more goes, so no worker need count"
        for body, said in (
            ({"days": 0}, "days must be a whole number of days, 1 to 36500"),
            ({"days": 1.5}, "days must be a whole number of days, 1 to 36500"),
            ({}, "days is missing; it must be a whole number of days, 1 to 36500"),
            ({"days": 3, "confirmed": 1}, "confirmed must be true or false: whether faces that are older already may"),
        ):
            code, message = await send("PUT", where, body)
            assert (code, message.startswith(said)) == (400, True), message
        assert await send("DELETE", where) == (200, "facedb default keeps faces for good")

    async def test_what_a_worker_cannot_estimate_is_said_and_nothing_is_kept(
        self, send: Send, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await send("POST", "/tenants", {"name": "shop"})
        where = f"{SHOP}/facedbs/default/confidence"
        redis = client.app[CONTROL].redis
        async with worker(redis, Progress(state="failed", reason="it has 3 faces, and 500 are needed")):
            said = "there is no estimate: it has 3 faces, and 500 are needed"
            for method in ("POST", "PUT"):
                assert await send(method, where) == (400, said)
        await redis.set(REQUEST, "another")
        assert (await send("PUT", where))[0] == 409
        assert await redis.get(REQUEST) == b"another"
        await redis.delete(REQUEST)
        monkeypatch.setattr(estimates.estimate, "__defaults__", (1.0, 0.01))
        assert await send("PUT", where) == (503, "please try again later"), "no worker"
        async with worker(redis, Progress(faces=32)):
            assert await send("PUT", where) == (503, "please try again later"), "it takes too long"
        assert await redis.keys("fs:confidence:*") == []
        assert not await redis.exists(REQUEST)

    async def test_its_openapi_document_requires_the_key(self, client: TestClient) -> None:
        async with client.get("/openapi.json") as response:
            assert (response.status, await response.json()) == (200, DOCUMENT)
        async with client.get("/openapi.json", headers={"X-Admin-Key": "wrong"}) as response:
            assert response.status == 401

    async def test_its_page_needs_no_key_and_shows_nothing_without(self, client: TestClient) -> None:
        for path, expected in (("/docs", 200), ("/docs/start.js", 200), ("/docs/nothing", 404), ("/docsx", 401)):
            async with client.get(path, headers={"X-Admin-Key": "wrong"}) as response:
                assert response.status == expected, path
                assert KEY not in await response.text()

    async def test_the_state_of_the_service(self, send: Send, client: TestClient) -> None:
        redis = client.app[CONTROL].redis
        status, empty = await send("GET", "/service")
        assert status == 200
        assert empty["parts"]["worker"] == "none is alive"
        assert [alert["name"] for alert in empty["alerts"]] == ["FacesearchNoWorker"]
        assert (empty["jobs"], empty["workers"], empty["last_backup"]) == (
            {"waiting": 0, "taken": 0, "oldest_s": 0},
            [],
            None,
        )
        beat = Heartbeat(store="ok", disk="no room", embedder="e", host="h", licence="MIT")
        await redis.sadd(WORKERS, "w")
        await redis.set(heartbeat_key("w"), beat.model_dump_json())
        await redis.lpush(QUEUE, b"no message of a job")
        await redis.zadd(WAITING, {"delivery": 1})
        made = LastBackup(at=datetime(2026, 11, 28, tzinfo=UTC), bytes=7, release="0.2.0")
        await redis.set(last_backup.KEY, made.model_dump_json())
        await redis.config_resetstat()
        _, full = await send("GET", "/service")
        counted = await redis.info("commandstats")
        # Heartbeats are read once for parts, alerts and workers, the memory of each server once.
        assert [counted[f"cmdstat_{name}"]["calls"] for name in ("smembers", "mget", "info")] == [1, 1, 3]
        assert full["parts"]["worker"] == "ok"
        assert full["parts"]["disk"] == "no room"
        assert [alert["name"] for alert in full["alerts"]] == ["FacesearchStoreCannotWrite", "FacesearchWebhooksWait"]
        assert full["jobs"] == {"waiting": 1, "taken": 0, "oldest_s": None}
        assert full["workers"] == [
            {"host": "h", "embedder": "e", "licence": "MIT", "store": "ok", "disk": "no room"},
        ]
        assert full["last_backup"] == {"at": "2026-11-28T00:00:00Z", "bytes": 7, "release": "0.2.0"}

    async def test_the_audit_trail(self, send: Send) -> None:
        assert await send("GET", "/audit") == (200, [])
        await send("POST", "/tenants", {"name": "shop"})
        _, (event,) = await send("GET", "/audit")
        assert (event["action"], event["tenant"]) == ("tenant.create", "shop")

    async def test_usage(self, send: Send, client: TestClient) -> None:
        assert await send("GET", "/usage") == (200, {"rows": [], "totals": {}})
        assert await send("GET", "/usage?from=soon") == (400, "from must be a day, YYYY-MM-DD")
        async with client.get("/admin/v1/usage?format=csv") as response:
            assert (await response.text()).startswith("day,tenant,key,")


class TestRefusing:
    @pytest.mark.parametrize("key", [None, "", "wrong", KEY + "x", KEY[:-1], "\udcff"])
    async def test_every_path_is_refused_without_the_key(
        self, client: TestClient, key: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(wrong_keys, "BURST", len(OPERATIONS) + 2)
        client.session.headers.pop("X-Admin-Key")
        headers = {} if key is None else {"X-Admin-Key": key}
        answers = set()
        for method, path in [*((o.method, o.path) for o in OPERATIONS), ("GET", "/admin/v1/nothing"), ("GET", "/")]:
            async with client.request(method, path, headers=headers) as response:
                assert response.status == 401
                answers.add(await response.text())
        assert answers == {'{"status": "INVALID_REQUEST", "message": "X-Admin-Key header is missing or wrong"}'}

    async def test_without_a_key_there_is_no_admin_api(self) -> None:
        with pytest.raises(ValueError, match="FACESEARCH_ADMIN_KEY is not set"):
            create_admin_app(Settings(redis_url="redis://h", admin_key=None))

    async def test_unknown_tenants_keys_and_facedbs_are_404(self, send: Send) -> None:
        nobody = (404, "there is no tenant shop")
        for operation in OPERATIONS:
            if "{tenant}" in operation.path:
                path = operation.path.removeprefix("/admin/v1").format(
                    tenant="shop", key_id="k", facedb="f", person_id="p", face_id="g"
                )
                body = BODIES.get(operation.body, {"name": "n"}) if operation.body else None
                assert await send(operation.method, path, body) == nobody
        await send("POST", "/tenants", {"name": "shop"})
        assert await send("DELETE", f"{SHOP}/keys/k") == (404, "tenant shop has no key k")
        assert await send("DELETE", f"{SHOP}/facedbs/f") == (404, "tenant shop has no facedb f")
        for operation in OPERATIONS:
            if operation.path.endswith("}/facedbs/{facedb}/confidence"):
                answered = await send(operation.method, f"{SHOP}/facedbs/f/confidence")
                assert answered == (404, "tenant shop has no facedb f")
        assert await send("PUT", f"{SHOP}/default-facedb", {"facedb": "f"}) == (404, "tenant shop has no facedb f")
        status, message = await send("GET", "/nothing")
        assert (status, message.partition(";")[0]) == (404, "unknown path")

    async def test_existing_names_and_facedbs_in_use_are_409(self, send: Send) -> None:
        await send("POST", "/tenants", {"name": "shop"})
        assert await send("POST", "/tenants", {"name": "shop"}) == (409, "tenant shop exists already")
        facedb = {"name": "default"}
        assert await send("POST", f"{SHOP}/facedbs", facedb) == (409, "tenant shop has a facedb default already")
        assert (await send("DELETE", f"{SHOP}/facedbs/default"))[0] == 409

    async def test_a_wrong_method_is_405(self, client: TestClient) -> None:
        async with client.delete("/admin/v1/tenants") as response:
            assert response.status == 405
            assert response.headers["Allow"] == "GET, HEAD, POST"

    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            (b"", "body must be a JSON object of name, scopes, expires, rate, concurrency, http_status, confidence"),
            (b"[]", "body must be a JSON object of"),
            (b"\xff", "body must be a JSON object of"),
            (b"[" * 10_000, "body must be a JSON object of"),
            (b" " * (MAX_BODY_BYTES + 1), "body is longer than 16384 bytes"),
            ({}, "name is missing; it must be 1 to 64 letters, digits, - or _"),
            ({"name": 5}, "name must be 1 to 64 letters, digits, - or _"),
            ({"name": "a b"}, "the name of a key is 1 to 64 letters, digits, - or _; 'a b' is not"),
            ({"name": "k", "colour": "red"}, "'colour' is not known here; known are name, scopes, "),
            ({"name": "k", "scopes": []}, "a key needs one scope at least, of add, search, delete"),
            ({"name": "k", "scopes": ["admin"]}, "scopes must be a list of some of add, search, delete"),
            ({"name": "k", "scopes": "add"}, "scopes must be a list of some of add, search, delete"),
            ({"name": "k", "expires": "soon"}, "'soon' is no time; write 12h"),
            ({"name": "k", "expires": 5}, "expires must be 12h, 30d or 4w from now"),
            ({"name": "k", "expires": "2020-01-01"}, "the key would never work: it expires at 2020-01-01 00:00:00"),
            ({"name": "k", "rate": -1}, "rate must be requests a second, at most 1,000,000; 0: any"),
            ({"name": "k", "rate": 1e7}, "rate must be requests a second, at most 1,000,000; 0: any"),
            ({"name": "k", "rate": 1e-7}, "the rate is a number of requests a second, 0.000001 to 1,000,000"),
            ({"name": "k", "rate": True}, "rate must be requests a second, at most 1,000,000; 0: any"),
            (b'{"name": "k", "rate": Infinity}', "rate must be requests a second, at most 1,000,000; 0: any"),
            ({"name": "k", "http_status": 200}, "http_status must be mapped or always-200, or null for"),
            ({"name": "k", "confidence": "rounded"}, "confidence must be decimals or whole, or null for"),
            ({"name": "k", "concurrency": 1.5}, "concurrency must be a whole number of requests at once"),
        ],
    )
    async def test_an_invalid_body_is_refused_with_a_sentence(self, send: Send, body: object, sentence: str) -> None:
        await send("POST", "/tenants", {"name": "shop"})
        status, message = await send("POST", f"{SHOP}/keys", body)
        assert status == 400
        assert message.startswith(sentence)
        assert await send("GET", f"{SHOP}/keys") == (200, [])

    async def test_encoded_paths_lead_nowhere_else(self, send: Send) -> None:
        await send("POST", "/tenants", {"name": "shop"})
        for path in ("/tenants/shop%2Fkeys", "/tenants/shop%3Adefault", "/tenants/%00", "/tenants/%FF", "/tenants/.."):
            assert (await send("GET", path))[0] == 404

    async def test_without_its_broker_it_asks_to_try_again_later(self) -> None:
        app = create_admin_app(Settings(redis_url="unix:///nowhere.sock", admin_key=KEY))
        async with TestClient(TestServer(app), headers={"X-Admin-Key": KEY}) as client:
            for path in ("/admin/v1/tenants", "/admin/v1/usage"):
                async with client.get(path) as response:
                    assert response.status == 503
                    assert await response.json() == {"status": "FAIL", "message": "please try again later"}

    async def test_without_its_broker_it_tells_that_it_is_away(self) -> None:
        app = create_admin_app(Settings(redis_url="unix:///nowhere.sock", admin_key=KEY))
        async with (
            TestClient(TestServer(app), headers={"X-Admin-Key": KEY}) as client,
            client.get("/admin/v1/service") as response,
        ):
            state = (await response.json())["message"]
        assert [alert["name"] for alert in state["alerts"]] == ["FacesearchBrokerDown"]
        assert (state["parts"]["broker"], state["jobs"], state["workers"]) == ("does not answer", None, [])
