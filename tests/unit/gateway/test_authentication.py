"""Keys and facedbs are cached for some seconds, and only those that exist."""

import pytest
from redis import ConnectionError as RedisConnectionError

from gateway.access import authentication
from gateway.access.authentication import Auth
from shared.control import Caller, FoundFacedb, Scope, records
from shared.errors import Forbidden, InvalidRequest, Unauthorized, Unavailable


def key(tenant: str, *scopes: Scope, expires: int | None = None, tenant_id: str | None = None) -> Caller:
    may = scopes or frozenset(Scope)
    return Caller(
        id="k", tenant=tenant, tenant_id=tenant_id or tenant, name="n", scopes=may, created=0, expires=expires
    )


class Directory:
    """Control data in two dictionaries, which counts look-ups."""

    def __init__(self) -> None:
        self.keys = {"key-a": key("a"), "key-b": key("b")}
        self.facedbs = {("a", "main"): "a.main", ("a", "extra"): "a.extra", ("b", "main"): "b.main"}
        self.lookups = 0
        self.down = False

    async def caller(self, secret: str) -> Caller | None:
        self._count()
        return self.keys.get(secret)

    async def facedb_of(self, caller: Caller, name: str | None) -> FoundFacedb | None:
        self._count()
        name = name or "main"
        collection = self.facedbs.get((caller.tenant_id, name))
        return None if collection is None else FoundFacedb(name=name, collection=collection, created=0)

    def _count(self) -> None:
        self.lookups += 1
        if self.down:
            raise RedisConnectionError("redis://:hunter2@h")


@pytest.fixture
def directory() -> Directory:
    return Directory()


async def test_a_key_reaches_the_facedbs_of_its_tenant_and_no_others(directory: Directory) -> None:
    subject = Auth(directory)
    a, b = await subject.key("key-a"), await subject.key("key-b")
    assert (await subject.facedb(a, None)).collection == "a.main"
    assert (await subject.facedb(a, "extra")).collection == "a.extra"
    assert (await subject.facedb(b, None)).collection == "b.main"
    messages = []
    for name in ("extra", "nobodys"):
        with pytest.raises(InvalidRequest) as error:
            await subject.facedb(b, name)
        messages.append(error.value.message)
    assert len(set(messages)) == 1, "an answer must not reveal what other tenants have"


async def test_a_tenant_with_the_name_of_a_former_one_does_not_get_its_cached_facedb(directory: Directory) -> None:
    subject = Auth(directory)
    assert (await subject.facedb(await subject.key("key-a"), None)).collection == "a.main"
    directory.keys["key-of-the-new-tenant"] = key("a", tenant_id="another")
    directory.facedbs[("another", "main")] = "a.main.new"
    assert (await subject.facedb(await subject.key("key-of-the-new-tenant"), None)).collection == "a.main.new"
    assert (await subject.facedb(await subject.key("key-a"), None)).collection == "a.main"


@pytest.mark.parametrize("secret", [None, "", "wrong", "x" * 1000])
async def test_an_unknown_key_is_unauthorized(directory: Directory, secret: str | None) -> None:
    with pytest.raises(Unauthorized):
        await Auth(directory).key(secret)


async def test_known_keys_are_cached_for_seconds_and_unknown_keys_are_not(
    directory: Directory,
) -> None:
    now = [1000.0]
    subject = Auth(directory, lambda: now[0])
    for _ in range(5):
        await subject.facedb(await subject.key("key-a"), None)
    assert directory.lookups == 2
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await subject.key("wrong")
    assert directory.lookups == 7
    del directory.keys["key-a"]
    now[0] += authentication.CACHE_S - 0.01
    assert await subject.key("key-a"), "a revoked key works on for the seconds of the cache"
    now[0] += 0.01
    with pytest.raises(Unauthorized):
        await subject.key("key-a")


async def test_the_cache_is_bounded(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "CACHE_ENTRIES", 3)
    subject = Auth(directory)
    directory.keys = {f"key-{n}": key("a") for n in range(20)}
    for secret in directory.keys:
        await subject.key(secret)
    assert len(subject._keys) <= 3


async def test_without_control_data_the_service_is_unavailable(directory: Directory) -> None:
    subject = Auth(directory)
    known = await subject.key("key-a")
    directory.down = True
    for attempt in (subject.key("key-b"), subject.facedb(known, "extra")):
        with pytest.raises(Unavailable) as error:
            await attempt
        assert "hunter2" not in error.value.reason
    assert await subject.key("key-a"), "a cached key still works"


async def test_a_key_may_make_only_the_calls_of_its_scopes(directory: Directory) -> None:
    directory.keys["reader"] = key("a", Scope.SEARCH)
    subject = Auth(directory)
    reader = await subject.key("reader")
    authentication.require(Scope.SEARCH, reader)
    for scope in (Scope.ADD, Scope.DELETE):
        with pytest.raises(Forbidden, match=f"may not {scope}"):
            authentication.require(scope, reader)


async def test_a_key_expires_even_while_it_is_cached(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records.time, "time", lambda: 1000.0)
    directory.keys["brief"] = key("a", expires=1001)
    subject = Auth(directory)
    assert await subject.key("brief")
    monkeypatch.setattr(records.time, "time", lambda: 1001.0)
    with pytest.raises(Unauthorized):
        await subject.key("brief")
