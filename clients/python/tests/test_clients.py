"""The clients: what they are made of, and that both are alike."""

import inspect
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from mock_service import ADDRESS, KEY, answered

import facesearch_client
from facesearch_client import AsyncFaceSearch, FaceSearch

SOURCE = Path(__file__).parents[1] / "src"
METHODS = (
    *("addface", "searchface", "delface", "facecompare"),
    *("listpersons", "getperson", "updateperson", "deleteperson", "deleteface", "listfacedbs"),
)


@pytest.mark.parametrize("name", METHODS)
def test_both_clients_have_the_same_methods(name: str) -> None:
    plain, awaited = (inspect.signature(getattr(client, name)) for client in (FaceSearch, AsyncFaceSearch))
    assert plain == awaited


def test_both_clients_iterate_alike() -> None:
    plain, awaited = (inspect.signature(client.persons) for client in (FaceSearch, AsyncFaceSearch))
    assert plain.parameters == awaited.parameters


def test_both_clients_are_made_alike() -> None:
    plain, awaited = (inspect.signature(client).parameters for client in (FaceSearch, AsyncFaceSearch))
    assert list(plain) == list(awaited)
    assert [each.default for each in plain.values()] == [each.default for each in awaited.values()]


@pytest.mark.parametrize("client", [FaceSearch, AsyncFaceSearch])
@pytest.mark.parametrize("url", ["", "faces.test", "ftp://faces.test", "http://", "http://a/?b=1", "http://a:x", KEY])
def test_an_address_that_is_none_is_refused_and_not_shown(client: type, url: str) -> None:
    with pytest.raises(ValueError, match=r"^the address of the service must be like http://127\.0\.0\.1:8000$"):
        client(url, KEY)


@pytest.mark.parametrize("client", [FaceSearch, AsyncFaceSearch])
@pytest.mark.parametrize("key", ["", "with space", "line\n", "Zürich"])
def test_a_key_that_is_none_is_refused_and_not_shown(client: type, key: str) -> None:
    with pytest.raises(ValueError, match="the key is empty, or has white space or other characters that no key has"):
        client(ADDRESS, key)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_time_that_is_none_is_refused(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s must be more than 0 seconds"):
        FaceSearch(ADDRESS, KEY, timeout_s=timeout_s)


def test_the_key_is_not_shown() -> None:
    for client in (FaceSearch(ADDRESS, KEY), AsyncFaceSearch(ADDRESS, KEY)):
        assert repr(client) == f"{type(client).__name__}(URL('{ADDRESS}'))"
        assert KEY not in repr(vars(client))
    assert "secret" not in repr(FaceSearch("http://me:secret@faces.test", KEY))


def test_an_own_client_of_httpx_is_closed_and_a_given_one_is_not() -> None:
    with httpx.Client(transport=httpx.MockTransport(lambda _: answered("OK"))) as http:
        with FaceSearch(ADDRESS, KEY, http=http):
            pass
        assert not http.is_closed
    with FaceSearch(ADDRESS, KEY) as service:
        pass
    assert service._http.is_closed


async def test_the_same_with_asyncio() -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answered("OK"))) as http:
        async with AsyncFaceSearch(ADDRESS, KEY, http=http):
            pass
        assert not http.is_closed
    async with AsyncFaceSearch(ADDRESS, KEY) as service:
        pass
    assert service._http.is_closed


def test_an_import_loads_neither_pillow_nor_numpy_nor_pydantic() -> None:
    script = (
        "import sys, facesearch_client; print([name for name in ('PIL', 'numpy', 'pydantic') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_everything_that_is_exported_is_there() -> None:
    for name in facesearch_client.__all__:
        assert getattr(facesearch_client, name) is not None
