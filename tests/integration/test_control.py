"""Control data on a real Valkey: related records change atomically, whatever changes at the same time."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.confidence import Estimate
from shared.control import (
    DEFAULT,
    DROP_AFTER_S,
    DROPPED,
    DROPPED_TENANTS,
    Caller,
    Conflict,
    Control,
    Key,
    Scope,
    Unknown,
)
from shared.control.layout import KEY_RECORDS, confidence_key, digest, facedb_key, key_key
from shared.errors import OperatorError


@pytest.fixture
async def control(valkey_url: str) -> AsyncIterator[Control]:
    async with Redis.from_url(valkey_url) as redis:
        yield Control(redis)


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def outcomes(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run the calls at once and return their results or errors."""
    return await asyncio.gather(*calls, return_exceptions=True)


async def remaining_keys(control: Control) -> list[str]:
    return sorted(key.decode() for key in await control.redis.keys("*"))


class TestTenants:
    async def test_a_new_tenant_has_an_empty_facedb_and_no_key(self, control: Control) -> None:
        tenant = await control.create_tenant("shop")
        assert await control.tenant("shop") == tenant
        assert await control.tenants() == [tenant]
        assert await control.keys("shop") == []
        (facedb,) = await control.facedbs("shop")
        assert facedb.name == tenant.facedb == DEFAULT
        assert facedb.collection.startswith("shop.default.")
        assert await control.default_facedb("shop") == facedb

    async def test_one_of_several_simultaneous_creations_succeeds(self, control: Control) -> None:
        said = await outcomes(*(control.create_tenant("shop") for _ in range(20)))
        assert sum(isinstance(one, Conflict) for one in said) == 19
        assert len(await control.facedbs("shop")) == 1

    async def test_a_dropped_tenant_leaves_only_its_collections_to_remove(self, control: Control) -> None:
        await control.create_tenant("shop")
        await control.create_tenant("bank")
        await control.create_facedb("shop", "extra")
        _, secret = await control.create_key("shop", "k")
        collections = {facedb.collection for facedb in await control.facedbs("shop")}
        await control.drop_tenant("shop")
        assert await control.key(secret) is None
        assert {member.decode() for member in await control.redis.zrange(DROPPED, 0, -1)} == collections
        assert not [key for key in await remaining_keys(control) if "shop" in key]
        assert [tenant.name for tenant in await control.tenants()] == ["bank"]
        with pytest.raises(Unknown, match="there is no tenant shop"):
            await control.drop_tenant("shop")

    async def test_creations_during_a_drop_leave_nothing_behind(self, control: Control) -> None:
        for _ in range(10):
            await control.create_tenant("shop")
            calls = [control.create_key("shop", "k") for _ in range(5)]
            calls += [control.create_facedb("shop", f"f{n}") for n in range(5)]
            said = await outcomes(*calls[:5], control.drop_tenant("shop"), *calls[5:])
            assert not [one for one in said if isinstance(one, Exception) and not isinstance(one, Unknown)]
            assert not set(await remaining_keys(control)) - {DROPPED, DROPPED_TENANTS, KEY_RECORDS}

    @pytest.mark.parametrize("name", ["", "a b", "é", "x" * 65, "a:b", "../x", "a\n"])
    async def test_an_invalid_name_is_refused_with_a_sentence(self, control: Control, name: str) -> None:
        await control.create_tenant("shop")
        for call in (
            control.create_tenant(name),
            control.create_facedb("shop", name),
            control.create_key("shop", name),
        ):
            with pytest.raises(OperatorError, match=r"^the name of a \w+ is 1 to 64 letters, digits, - or _; "):
                await call


class TestKeys:
    async def test_a_key_is_found_by_its_secret_and_stored_as_a_hash_only(self, control: Control) -> None:
        await control.create_tenant("shop")
        made, secret = await control.create_key(
            "shop", "till", scopes=frozenset({Scope.SEARCH, Scope.ADD}), rate=0.5, concurrency=3
        )
        assert await control.key(secret) == made
        assert await control.keys("shop") == [made]
        assert made.model_dump(mode="json")["scopes"] == ["add", "search"]
        for name in await remaining_keys(control):
            dump = await control.redis.dump(name)
            assert secret.encode() not in name.encode() + dump

    async def test_default_options_are_not_in_the_record_of_a_key(self, control: Control) -> None:
        await control.create_tenant("shop")
        _, plain = await control.create_key("shop", "plain")
        made, strict = await control.create_key("shop", "strict", http_status="always-200", confidence="whole")
        record = json.loads(await control.redis.get(key_key(digest(plain))))
        assert set(record) == {"id", "tenant", "name", "scopes", "created"}, "as former releases know it"
        assert await control.key(strict) == made
        assert (made.http_status, made.confidence) == ("always-200", "whole")

    async def test_a_record_of_a_former_release_is_readable(self, control: Control) -> None:
        await control.create_tenant("shop")
        made, secret = await control.create_key("shop", "k", rate=2)
        former = {"id": made.id, "tenant": "shop", "name": "k", "scopes": ["add"], "expires": None, "rate": 2.0}
        former |= {"concurrency": None, "created": "2026-01-31T00:00:00Z"}
        await control.redis.set(key_key(digest(secret)), json.dumps(former))
        key = await control.key(secret)
        assert key is not None
        assert (key.rate, key.concurrency, key.http_status, key.confidence) == (2, None, None, None)

    async def test_a_revoked_key_is_unknown(self, control: Control) -> None:
        await control.create_tenant("shop")
        await control.create_tenant("bank")
        key, secret = await control.create_key("shop", "k")
        with pytest.raises(Unknown, match=f"tenant bank has no key {key.id}"):
            await control.revoke_key("bank", key.id)
        assert await control.key(secret) == key
        said = await outcomes(*(control.revoke_key("shop", key.id) for _ in range(5)))
        assert sum(one is False for one in said) == 1
        assert sum(isinstance(one, Unknown) for one in said) == 4
        assert await control.key(secret) is None
        assert await control.keys("shop") == []

    async def test_the_record_of_a_revoked_key_is_kept(self, control: Control) -> None:
        await control.create_tenant("shop")
        kept, _ = await control.create_key("shop", "kept")
        gone, secret = await control.create_key("shop", "gone", scopes=frozenset({Scope.ADD}), rate=3)
        await control.revoke_key("shop", gone.id)
        records = {record.id: record for record in await control.key_records("shop")}
        assert records[kept.id].state() == "works"
        assert records[gone.id].state() == "revoked"
        assert Key(**records[gone.id].model_dump(exclude={"revoked"})) == gone
        await control.drop_tenant("shop")
        assert await control.key_names([kept.id, gone.id, "none"]) == {kept.id: "kept", gone.id: "gone"}
        with pytest.raises(Unknown, match="there is no tenant shop"):
            await control.key_records("shop")
        await control.create_tenant("shop")
        assert [record.state() for record in await control.key_records("shop")] == ["revoked", "revoked"]
        dump = await control.redis.dump(KEY_RECORDS)
        assert digest(secret).encode() not in dump, "nothing leads back to the key"

    async def test_a_key_with_a_damaged_record_can_be_revoked(self, control: Control) -> None:
        await control.create_tenant("shop")
        key, secret = await control.create_key("shop", "k")
        await control.redis.set(f"fs:key:{digest(secret)}", "{")
        await control.redis.hset(KEY_RECORDS, key.id, "{")
        await control.revoke_key("shop", key.id)
        assert await control.key(secret) is None
        assert await control.keys("shop") == await control.key_records("shop") == []
        assert await control.key_names([key.id]) == {}

    async def test_listing_keys_adds_missing_key_records(self, control: Control) -> None:
        await control.create_tenant("shop")
        key, _ = await control.create_key("shop", "k")
        await control.redis.delete(KEY_RECORDS)
        assert await control.key_names([key.id]) == {}
        await control.keys("shop")
        assert await control.key_names([key.id]) == {key.id: "k"}

    async def test_the_file_of_the_first_key_is_removed_with_that_key_only(
        self, control: Control, tmp_path: Path
    ) -> None:
        here = Control(control.redis, first_key_file=tmp_path / "api-key")
        await here.set_first_key("from the file")
        (first,) = await here.keys(DEFAULT)
        other, _ = await here.create_key(DEFAULT, "other")
        (tmp_path / "api-key").write_text("from the file\n")
        assert await here.revoke_key(DEFAULT, other.id) is False
        assert (tmp_path / "api-key").exists()
        assert await here.revoke_key(DEFAULT, first.id) is True
        assert not (tmp_path / "api-key").exists()

    async def test_the_file_of_the_first_key_is_removed_with_its_tenant(self, control: Control, tmp_path: Path) -> None:
        here = Control(control.redis, first_key_file=tmp_path / "api-key")
        await here.set_first_key("from the file")
        (tmp_path / "api-key").write_text("from the file\n")
        await here.drop_tenant(DEFAULT)
        assert not (tmp_path / "api-key").exists()

    async def test_an_expired_key_disappears_by_itself(self, control: Control) -> None:
        await control.create_tenant("shop")
        key, secret = await control.create_key("shop", "brief", expires=soon(2))
        assert (await control.key(secret)) == key
        assert await control.redis.expiretime(f"fs:key:{await self.digest(control)}") == int(key.expires.timestamp())
        async with asyncio.timeout(5):
            while await control.key(secret) is not None:
                await asyncio.sleep(0.05)
        assert key.expired()
        await control.create_key("shop", "next")
        assert await control.redis.hlen("fs:keys:shop") == 1, "its id is forgotten too"
        with pytest.raises(Unknown):
            await control.revoke_key("shop", key.id)
        assert [(record.name, record.state()) for record in await control.key_records("shop")] == [
            ("brief", "expired"),
            ("next", "works"),
        ]

    @staticmethod
    async def digest(control: Control) -> str:
        (value,) = await control.redis.hvals("fs:keys:shop")
        return value.decode()

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"scopes": frozenset()}, "a key needs one scope at least, of add, search, delete"),
            ({"expires": datetime(2020, 1, 1, tzinfo=UTC)}, "the key would never work: it expires at 2020-01-01"),
            ({"rate": -1.0}, "the rate is"),
            ({"rate": float("nan")}, "the rate is"),
            ({"rate": float("inf")}, "the rate is"),
            ({"concurrency": -1}, "the concurrency is"),
        ],
    )
    async def test_invalid_options_are_refused(self, control: Control, options: dict, sentence: str) -> None:
        await control.create_tenant("shop")
        with pytest.raises(OperatorError, match=sentence):
            await control.create_key("shop", "k", **options)
        assert await control.keys("shop") == []

    async def test_a_key_needs_a_tenant(self, control: Control) -> None:
        for call in (control.create_key("shop", "k"), control.keys("shop"), control.revoke_key("shop", "x")):
            with pytest.raises(Unknown, match="there is no tenant shop"):
                await call

    async def test_a_secret_with_invalid_text_is_unknown(self, control: Control) -> None:
        assert await control.key(b"\xff\xfe".decode(errors="surrogateescape")) is None


class TestTheFirstKey:
    async def test_gateways_that_start_at_once_create_one_tenant_and_one_key(self, control: Control) -> None:
        await asyncio.gather(*(control.set_first_key("from the settings") for _ in range(10)))
        (key,) = await control.keys(DEFAULT)
        assert await control.key("from the settings") == key
        assert key.scopes == frozenset(Scope)
        assert len(await control.facedbs(DEFAULT)) == 1

    async def test_another_first_key_replaces_it_and_it_may_return(self, control: Control) -> None:
        for secret, other in (("one", "two"), ("two", "one"), ("one", "two")):
            await control.set_first_key(secret)
            assert await control.key(secret) is not None
            assert await control.key(other) is None
            assert len(await control.keys(DEFAULT)) == 1

    async def test_a_revoked_first_key_does_not_return_with_a_restart(self, control: Control) -> None:
        await control.set_first_key("from the settings")
        (key,) = await control.keys(DEFAULT)
        await control.revoke_key(DEFAULT, key.id)
        await control.set_first_key("from the settings")
        assert await control.key("from the settings") is None
        await control.drop_tenant(DEFAULT)
        await control.set_first_key("from the settings")
        assert await control.tenants() == []
        await control.set_first_key("another")
        assert await control.key("another") is not None

    async def test_a_key_created_by_an_operator_is_not_changed(self, control: Control) -> None:
        await control.create_tenant("shop")
        made, secret = await control.create_key("shop", "k", scopes=frozenset({Scope.SEARCH}))
        await control.set_first_key(secret)
        assert await control.key(secret) == made
        await control.set_first_key("another")
        assert await control.key(secret) is None, "the settings named it, and name another one now"
        assert await control.keys("shop") == []


class TestFacedbs:
    async def test_a_facedb_of_a_name_used_before_has_a_new_collection(self, control: Control) -> None:
        await control.create_tenant("shop")
        first = await control.create_facedb("shop", "extra")
        await control.drop_facedb("shop", "extra")
        assert await control.facedb("shop", "extra") is None
        second = await control.create_facedb("shop", "extra")
        assert second.collection != first.collection
        assert [facedb.name for facedb in await control.facedbs("shop")] == ["default", "extra"]
        with pytest.raises(Conflict, match="tenant shop has a facedb extra already"):
            await control.create_facedb("shop", "extra")

    async def test_equal_names_of_two_tenants_are_two_facedbs(self, control: Control) -> None:
        for tenant in ("shop", "bank"):
            await control.create_tenant(tenant)
            await control.create_facedb(tenant, "extra")
        await control.drop_facedb("shop", "extra")
        assert await control.facedb("bank", "extra") is not None
        assert await control.facedb("shop", "extra") is None

    async def test_a_dropped_collection_is_due_when_no_job_can_use_it(self, control: Control) -> None:
        await control.create_tenant("shop")
        facedb = await control.create_facedb("shop", "extra")
        seconds, _ = await control.redis.time()
        await control.drop_facedb("shop", "extra")
        ((collection, due),) = await control.redis.zrange(DROPPED, 0, -1, withscores=True)
        assert collection.decode() == facedb.collection
        assert 0 <= due - seconds - DROP_AFTER_S < 5

    async def test_the_default_facedb_can_be_changed_and_not_dropped(self, control: Control) -> None:
        await control.create_tenant("shop")
        extra = await control.create_facedb("shop", "extra")
        assert (await control.set_default_facedb("shop", "extra")).facedb == "extra"
        assert await control.default_facedb("shop") == extra
        with pytest.raises(Conflict, match="extra is the default facedb of tenant shop; make another"):
            await control.drop_facedb("shop", "extra")
        await control.drop_facedb("shop", DEFAULT)
        for call in (control.set_default_facedb("shop", DEFAULT), control.drop_facedb("shop", DEFAULT)):
            with pytest.raises(Unknown, match="tenant shop has no facedb default"):
                await call

    async def test_a_default_facedb_is_never_missing_during_drops(self, control: Control) -> None:
        await control.create_tenant("shop")
        for n in range(20):
            await control.create_facedb("shop", f"f{n}")
            await outcomes(control.set_default_facedb("shop", f"f{n}"), control.drop_facedb("shop", f"f{n}"))
            assert await control.default_facedb("shop") is not None

    async def test_unknown_tenants_have_no_facedbs(self, control: Control) -> None:
        assert await control.facedb("shop", "extra") is None
        assert await control.default_facedb("shop") is None
        with pytest.raises(Unknown, match="there is no tenant shop"):
            await control.create_facedb("shop", "extra")


async def test_records_are_readable_json(control: Control) -> None:
    await control.create_tenant("shop")
    key, _ = await control.create_key("shop", "k", expires=datetime(2999, 1, 31, tzinfo=UTC))
    shown = json.loads(key.model_dump_json())
    assert shown["expires"] == "2999-01-31T00:00:00Z"
    assert shown["created"].endswith("Z")
    assert Key.model_validate(shown) == key


ESTIMATE = Estimate(
    identity="ours",
    stored=900,
    faces=900,
    repeated=3,
    pairs=404_547,
    levels=(),
    points=((-1, 0), (0.4, 80), (0.9999, 100)),
)


class TestConfidences:
    async def caller(self, control: Control) -> Caller:
        await control.create_tenant("shop")
        _, secret = await control.create_key("shop", "k")
        caller = await control.caller(secret)
        assert caller is not None
        return caller

    async def kept(self, control: Control, facedb: str = "default") -> None:
        found = await control.facedb("shop", facedb)
        assert found is not None
        await control.keep_confidence("shop", facedb, found.collection, ESTIMATE, "me")

    async def test_a_gateway_finds_the_calibration_with_the_facedb(self, control: Control) -> None:
        caller = await self.caller(control)
        for name in (None, "default"):
            found = await control.facedb_of(caller, name)
            assert found is not None
            assert found.table is None
        await self.kept(control)
        for name in (None, "default"):
            found = await control.facedb_of(caller, name)
            assert found is not None
            assert found.table is not None
            assert found.table.points == ESTIMATE.points
            assert (found.table.identity, found.table.faces, found.table.by) == ("ours", 900, "me")

    async def test_the_record_of_the_facedb_is_as_it_was_for_gateways_of_an_earlier_release(
        self, control: Control
    ) -> None:
        await control.create_tenant("shop")
        before = await control.redis.get(facedb_key("shop", "default"))
        await self.kept(control)
        assert await control.redis.get(facedb_key("shop", "default")) == before

    async def test_a_calibration_of_a_former_facedb_does_not_count(self, control: Control) -> None:
        """A gateway of an earlier release drops the facedb and leaves the record."""
        caller = await self.caller(control)
        await control.create_facedb("shop", "extra")
        await self.kept(control, "extra")
        left = await control.redis.get(confidence_key("shop", "extra"))
        await control.drop_facedb("shop", "extra")
        assert not await control.redis.exists(confidence_key("shop", "extra"))
        await control.create_facedb("shop", "extra")
        await control.redis.set(confidence_key("shop", "extra"), left)
        found = await control.facedb_of(caller, "extra")
        assert found is not None
        assert found.table is None
        assert await control.confidence("shop", "extra") is None

    async def test_a_damaged_record_counts_as_none(self, control: Control) -> None:
        caller = await self.caller(control)
        await control.redis.set(confidence_key("shop", "default"), "{")
        found = await control.facedb_of(caller, None)
        assert found is not None
        assert found.table is None

    async def test_an_estimate_of_a_facedb_that_was_created_again_is_not_kept(self, control: Control) -> None:
        await control.create_tenant("shop")
        with pytest.raises(Conflict, match="dropped and created again"):
            await control.keep_confidence("shop", "default", "shop.default.00000000", ESTIMATE, "me")
        for call in (
            control.confidence("shop", "nowhere"),
            control.remove_confidence("shop", "nowhere", "me"),
            control.undo_confidence("nobody", "default", "me"),
        ):
            with pytest.raises(Unknown):
                await call

    async def test_changes_at_once_are_all_counted(self, control: Control) -> None:
        await control.create_tenant("shop")
        await asyncio.gather(*(self.kept(control) for _ in range(10)))
        record = await control.confidence("shop", "default")
        assert record is not None
        assert record.version == 10

    async def test_a_dropped_tenant_leaves_none(self, control: Control) -> None:
        await control.create_tenant("shop")
        await self.kept(control)
        await control.drop_tenant("shop")
        assert not await control.redis.exists(confidence_key("shop", "default"))
