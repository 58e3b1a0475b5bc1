"""Keys and facedbs are looked up once in a while, and only what is found is remembered."""

import pytest
from redis import ConnectionError as RedisConnectionError

from gateway import auth
from gateway.auth import Auth
from shared.control import Access, Facedb
from shared.errors import InvalidRequest, Unauthorized, Unavailable


class Directory:
    """Control data in two dictionaries, counting look-ups."""

    def __init__(self) -> None:
        self.keys = {"key-a": Access(tenant="a", facedb="main"), "key-b": Access(tenant="b", facedb="main")}
        self.facedbs = {("a", "main"): "a.main", ("a", "extra"): "a.extra", ("b", "main"): "b.main"}
        self.lookups = 0
        self.down = False

    async def access(self, key: str) -> Access | None:
        self._count()
        return self.keys.get(key)

    async def facedb(self, tenant: str, name: str) -> Facedb | None:
        self._count()
        collection = self.facedbs.get((tenant, name))
        return None if collection is None else Facedb(collection=collection)

    def _count(self) -> None:
        self.lookups += 1
        if self.down:
            raise RedisConnectionError("redis://:hunter2@h")


@pytest.fixture
def directory() -> Directory:
    return Directory()


async def test_a_key_opens_its_own_facedbs_and_no_others(directory: Directory) -> None:
    subject = Auth(directory)
    a, b = await subject.access("key-a"), await subject.access("key-b")
    assert await subject.collection(a, None) == "a.main"
    assert await subject.collection(a, "extra") == "a.extra"
    assert await subject.collection(b, None) == "b.main"
    messages = []
    for name in ("extra", "nobodys"):
        with pytest.raises(InvalidRequest) as error:
            await subject.collection(b, name)
        messages.append(error.value.message)
    assert len(set(messages)) == 1, "nobody learns what others have"


@pytest.mark.parametrize("key", [None, "", "wrong", "x" * 1000])
async def test_without_a_known_key_nothing_opens(directory: Directory, key: str | None) -> None:
    with pytest.raises(Unauthorized):
        await Auth(directory).access(key)


async def test_hits_are_remembered_for_seconds_and_misses_are_not(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = Auth(directory)
    for _ in range(5):
        await subject.collection(await subject.access("key-a"), None)
    assert directory.lookups == 2
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await subject.access("wrong")
    assert directory.lookups == 7
    del directory.keys["key-a"]
    assert await subject.access("key-a"), "a revoked key works on for the seconds of the cache"
    monkeypatch.setattr(auth.time, "monotonic", lambda: 1e9)
    with pytest.raises(Unauthorized):
        await subject.access("key-a")


async def test_the_cache_is_bounded(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "CACHE_ENTRIES", 3)
    subject = Auth(directory)
    directory.keys = {f"key-{n}": Access(tenant="a", facedb="main") for n in range(20)}
    for key in directory.keys:
        await subject.access(key)
    assert len(subject._keys._entries) <= 3


async def test_when_nothing_can_be_looked_up_it_is_the_services_fault(directory: Directory) -> None:
    subject = Auth(directory)
    known = await subject.access("key-a")
    directory.down = True
    for attempt in (subject.access("key-b"), subject.collection(known, "extra")):
        with pytest.raises(Unavailable) as error:
            await attempt
        assert "hunter2" not in error.value.reason
    assert await subject.access("key-a"), "who was just seen may still come in"
