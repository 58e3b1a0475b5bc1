"""The Python client (clients/python) with a real service: every call, every error it tells apart, and its README."""

import asyncio
import io
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pytest
from facesearch_client import (
    NO_RETRIES,
    AsyncFaceSearch,
    ConnectionFailed,
    FaceNotDetected,
    FaceSearch,
    FaceSearchError,
    Forbidden,
    ImageTooLarge,
    ImageUnreadable,
    InvalidRequest,
    Overloaded,
    PersonNotFound,
    Pixels,
    RateLimited,
    Result,
    Retries,
    SeveralFaces,
    Unauthorized,
)

from contract.tenants import new_tenant
from portraits import astronaut_png, bmp, crowd, faceless_png, hopper_jpeg, pixels, scale, side_by_side
from processes import gateway_on
from service import Service
from shared.control import Scope

CLIENT = Path(__file__).parents[2] / "clients/python"


@pytest.fixture(scope="module")
def keys(service: Service) -> dict[str, str]:
    """Keys of a tenant of its own, by name."""
    return new_tenant(
        service.broker,
        plain={},
        searching={"scopes": frozenset({Scope.SEARCH})},
        slow={"rate": 0.001},
        searching_200={"scopes": frozenset({Scope.SEARCH}), "http_status": "always-200"},
        slow_200={"rate": 0.001, "http_status": "always-200"},
    )[1]


@pytest.fixture
def client(service: Service) -> Iterator[FaceSearch]:
    """A client with an empty face database."""
    _, keys = new_tenant(service.broker, own={})
    with FaceSearch(service.address, keys["own"], timeout_s=150) as made:
        yield made


class TestJobs:
    def test_a_job_ends_as_the_call_would(self, client: FaceSearch) -> None:
        (face,) = client.submit("addface", hopper_jpeg(), name="Grace", faces="one").wait()
        assert face.name == "Grace"
        searched = client.submit("searchface", hopper_jpeg())
        assert client.job("searchface", str(searched.id)).wait() == searched.wait() == client.searchface(hopper_jpeg())
        with pytest.raises(FaceNotDetected):
            client.submit("addface", faceless_png()).wait()
        assert client.submit("delface", face.person_id).wait() is None
        compared = client.submit("facecompare", hopper_jpeg(), hopper_jpeg()).wait()
        assert compared.result is Result.SAME_PERSON

    def test_a_key_without_the_scope_does_not_see_a_job(self, client: FaceSearch, service: Service) -> None:
        job = client.submit("searchface", hopper_jpeg())
        with FaceSearch(service.address, service.key) as stranger, pytest.raises(InvalidRequest, match="no such job"):
            stranger.job("searchface", str(job.id)).wait()

    def test_jobs_are_awaited(self, service: Service, keys: dict[str, str]) -> None:
        async def search() -> list[int]:
            async with AsyncFaceSearch(service.address, keys["plain"], timeout_s=150) as client:
                jobs = [await client.submit("searchface", photo) for photo in (hopper_jpeg(), astronaut_png())]
                return [len(await job.wait()) for job in jobs]

        assert asyncio.run(search()) == [0, 0]


class TestCalls:
    def test_a_face_is_added_found_and_deleted(self, client: FaceSearch) -> None:
        (face,) = client.addface(hopper_jpeg(), name="Grace", faces="one")
        assert face.name == "Grace"
        (found,) = client.searchface(hopper_jpeg())
        assert (found.person_id, found.name, found.confidence) == (face.person_id, "Grace", 100)
        assert client.searchface(astronaut_png()) == []
        assert client.delface(face.person_id) is None
        assert client.searchface(hopper_jpeg()) == []
        with pytest.raises(PersonNotFound):
            client.delface(uuid.UUID(face.person_id))

    def test_the_same_with_asyncio(self, service: Service) -> None:
        _, keys = new_tenant(service.broker, own={})

        async def run() -> None:
            async with AsyncFaceSearch(service.address, keys["own"], timeout_s=150) as client:
                (face,) = await client.addface(hopper_jpeg(), name="Grace", faces="one")
                found = await asyncio.gather(*(client.searchface(image) for image in (hopper_jpeg(), astronaut_png())))
                assert [[each.person_id for each in faces] for faces in found] == [[face.person_id], []]
                compared = await client.facecompare(hopper_jpeg(), astronaut_png())
                assert compared.result is Result.NOT_SAME_PERSON
                await client.delface(face.person_id)
                with pytest.raises(PersonNotFound):
                    await client.delface(face.person_id)

        asyncio.run(run())

    def test_faces_are_those_of_the_photo_that_are_asked_for(self, client: FaceSearch) -> None:
        both = side_by_side(hopper_jpeg(), astronaut_png())
        assert [face.name for face in client.addface(both)] == ["ID0", "ID1"]
        assert len(client.addface(both, faces="largest")) == 1
        with pytest.raises(SeveralFaces):
            client.addface(both, faces="one")

    def test_a_search_may_ask_for_fewer(self, client: FaceSearch) -> None:
        for _ in range(3):
            client.addface(hopper_jpeg())
        client.addface(astronaut_png())
        assert len(client.searchface(hopper_jpeg())) == 3
        assert len(client.searchface(hopper_jpeg(), limit=2)) == 2
        assert len(client.searchface(hopper_jpeg(), min_confidence=0)) == 4
        assert len(client.searchface(hopper_jpeg(), min_confidence=99.5)) == 3

    def test_two_photos_are_compared(self, client: FaceSearch) -> None:
        same = client.facecompare(hopper_jpeg(), hopper_jpeg())
        assert (same.similarity, same.result) == (100, Result.SAME_PERSON)

    def test_persons_are_listed_changed_and_deleted(self, client: FaceSearch) -> None:
        both = side_by_side(hopper_jpeg(), astronaut_png())
        added = client.addface(both, name="x", external_id="e/1", metadata={"floor": [3, None]})
        first, second = client.persons()
        assert [first.person_id, second.person_id] == [face.person_id for face in added]
        assert (first.external_id, first.metadata, first.faces) == ("e/1", {"floor": [3, None]}, 1)
        assert first.added is not None
        assert second.added is not None
        assert first.added < second.added
        page = client.listpersons(limit=1)
        assert page.persons == [first]
        assert client.listpersons(limit=1, after=page.next).persons == [second]
        with pytest.raises(InvalidRequest, match="after is not the next of"):
            client.listpersons(name="x", after=page.next)
        changed = client.updateperson(first.person_id, name="Grace", external_id="", metadata={})
        assert (changed.name, changed.external_id, changed.metadata) == ("Grace", None, {})
        assert list(client.persons(name="Grace")) == [changed]
        (face,) = client.getperson(first.person_id).faces
        assert (face.face_id, face.added) == (first.person_id, changed.added)
        assert list(client.persons(external_id="e/1")) == [second]
        (facedb,) = client.listfacedbs()
        assert (facedb.facedb, facedb.persons, facedb.faces, facedb.default) == ("default", 2, 2, True)
        client.addface(hopper_jpeg(), person_id=first.person_id)
        with pytest.raises(InvalidRequest, match="faces must be largest or one"):
            client.addface(hopper_jpeg(), person_id=first.person_id, faces="all")
        _, added = client.getperson(first.person_id).faces
        assert [match.person_id for match in client.searchface(hopper_jpeg())].count(first.person_id) == 1
        client.deleteface(first.person_id, added.face_id)
        client.deleteperson(first.person_id)
        for act in (client.getperson, client.deleteperson):
            with pytest.raises(PersonNotFound):
                act(first.person_id)
        assert list(client.persons()) == [second]

    def test_persons_with_asyncio(self, service: Service) -> None:
        _, keys = new_tenant(service.broker, own={})

        async def run() -> None:
            async with AsyncFaceSearch(service.address, keys["own"], timeout_s=150) as client:
                (face,) = await client.addface(hopper_jpeg(), name="Grace")
                changed = await client.updateperson(face.person_id, metadata={"a": 1})
                assert [person async for person in client.persons()] == [changed]
                await client.addface(hopper_jpeg(), person_id=face.person_id)
                first, second = (await client.getperson(face.person_id)).faces
                assert [(facedb.persons, facedb.faces) for facedb in await client.listfacedbs()] == [(1, 2)]
                await client.deleteface(face.person_id, first.face_id)
                assert (await client.getperson(face.person_id)).faces == [second]
                await client.deleteperson(face.person_id)
                assert (await client.listpersons()).persons == []

        asyncio.run(run())

    def test_threads_share_a_client(self, client: FaceSearch) -> None:
        with ThreadPoolExecutor(8) as pool:
            added = [face for faces in pool.map(client.addface, [hopper_jpeg()] * 16) for face in faces]
        assert {face.name for face in added} == {f"ID{n}" for n in range(16)}

    def test_a_repeated_add_has_the_effect_of_one(self, client: FaceSearch) -> None:
        first, second = (client.addface(hopper_jpeg(), idempotency_key="the-same") for _ in range(2))
        assert first == second
        assert len(client.searchface(hopper_jpeg())) == 1


class TestImages:
    def test_every_form_of_an_image_shows_the_same_face(self, client: FaceSearch, tmp_path: Path) -> None:
        (tmp_path / "eileen.png").write_bytes(astronaut_png())
        client.addface(astronaut_png())
        bgr = pixels(astronaut_png())
        for image, least in (
            (tmp_path / "eileen.png", 100),
            (str(tmp_path / "eileen.png"), 100),
            (io.BytesIO(astronaut_png()), 100),
            (Pixels(bgr, "BGR"), 100),
            (Pixels(bgr[..., ::-1], "RGB"), 100),
            (PIL.Image.open(io.BytesIO(astronaut_png())), 99.5),
        ):
            (found,) = client.searchface(image)
            assert found.confidence >= least, image

    @pytest.mark.parametrize("form", ["file", "pixels", "pillow"])
    def test_a_large_photo_is_found_once_it_is_shrunk(self, client: FaceSearch, form: str) -> None:
        large = pixels(scale(hopper_jpeg(), 4))
        image: Any = {"file": bmp(large), "pixels": Pixels(large, "BGR")}.get(form)
        image = image or PIL.Image.fromarray(large[..., ::-1].copy())
        client.addface(hopper_jpeg())
        if form != "pillow":
            with pytest.raises(ImageTooLarge):
                client.searchface(image)
        (found,) = client.searchface(image, shrink=True)
        assert found.confidence > 99


class TestErrors:
    @pytest.mark.parametrize(
        ("act", "kind", "message"),
        [
            (lambda c: c.addface(faceless_png()), FaceNotDetected, "check input image and retry"),
            (lambda c: c.searchface(b"no image"), ImageUnreadable, "image format not support"),
            (lambda c: c.searchface(b""), InvalidRequest, "img is missing or empty"),
            (lambda c: c.searchface(hopper_jpeg(), facedb="nobodys"), InvalidRequest, "facedb does not exist"),
            (lambda c: c.addface(hopper_jpeg(), name="a b"), InvalidRequest, "name must be at most 128 letters and"),
            (lambda c: c.searchface(hopper_jpeg(), limit=0), InvalidRequest, "limit must be a whole number from 1 to"),
            (lambda c: c.addface(hopper_jpeg(), idempotency_key="a b"), InvalidRequest, "Idempotency-Key must be 1 to"),
            (lambda c: c.addface(crowd(121)), InvalidRequest, "img shows 121 faces"),
        ],
    )
    def test_each_has_its_class_the_message_and_the_id_of_the_request(
        self, client: FaceSearch, act: Callable[[FaceSearch], object], kind: type[FaceSearchError], message: str
    ) -> None:
        with pytest.raises(kind) as caught:
            act(client)
        assert type(caught.value) is kind
        assert caught.value.message.startswith(message)
        assert caught.value.request_id
        assert caught.value.http_status == 200

    @pytest.mark.parametrize("always", ["", "_200"])
    def test_keys_are_told_apart_whatever_the_http_code(
        self, service: Service, keys: dict[str, str], always: str
    ) -> None:
        with FaceSearch(service.address, keys[f"searching{always}"], timeout_s=150) as client:
            assert client.searchface(hopper_jpeg()) == []
            with pytest.raises(Forbidden, match="this key may not add"):
                client.addface(hopper_jpeg())
        with FaceSearch(service.address, keys[f"slow{always}"], timeout_s=150) as client:
            with pytest.raises(PersonNotFound):
                client.delface("1")
            with pytest.raises(Overloaded) as caught:
                client.delface("1")
            assert type(caught.value) is (Overloaded if always else RateLimited)
            assert caught.value.retry_after_s is not None
            assert caught.value.retry_after_s > 900

    def test_an_unknown_key_is_unauthorized_whatever_the_http_code(self, service: Service) -> None:
        with FaceSearch(service.address, "unknown") as client, pytest.raises(Unauthorized) as caught:
            client.searchface(hopper_jpeg())
        assert caught.value.http_status == 401
        with (
            gateway_on(service.broker, api_key=service.key, http_status="always-200") as always,
            FaceSearch(str(always.base_url), "unknown") as client,
            pytest.raises(Unauthorized) as caught,
        ):
            client.searchface(hopper_jpeg())
        assert caught.value.http_status == 200

    def test_a_service_without_workers_is_overloaded(self, valkey_url: str) -> None:
        with (
            gateway_on(valkey_url, deadline_s=0.2, api_key="the-first-key") as running,
            FaceSearch(str(running.base_url), "the-first-key", retries=NO_RETRIES, timeout_s=60) as client,
            pytest.raises(Overloaded) as caught,
        ):
            client.delface(str(uuid.uuid4()))
        assert (caught.value.http_status, caught.value.retry_after_s) == (503, 1)
        assert caught.value.idempotency_key

    def test_an_address_where_nobody_listens_is_a_failed_connection(self) -> None:
        with FaceSearch("http://127.0.0.1:9", "key", retries=NO_RETRIES) as client, pytest.raises(ConnectionFailed):
            client.searchface(hopper_jpeg())

    def test_a_wrong_path_is_named(self, service: Service) -> None:
        with (
            FaceSearch(f"{service.address}/elsewhere", service.key) as client,
            pytest.raises(InvalidRequest, match="unknown path"),
        ):
            client.searchface(hopper_jpeg())


class LosesAnswers(httpx.HTTPTransport):
    """Connections to the real service that break when the first answers are there. lost: how many."""

    lost = 2

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if self.lost:
            self.lost -= 1
            response.close()
            raise httpx.ReadError("lost", request=request)
        return response


def test_what_was_done_when_its_answer_got_lost_is_done_once(service: Service) -> None:
    _, keys = new_tenant(service.broker, own={})
    retries = Retries(for_s=100, first_s=0)
    with httpx.Client(transport=LosesAnswers()) as http:
        client = FaceSearch(service.address, keys["own"], timeout_s=150, retries=retries, http=http)
        (face,) = client.addface(hopper_jpeg(), name="Grace")
        assert [found.person_id for found in client.searchface(hopper_jpeg())] == [face.person_id]
    with httpx.Client(transport=LosesAnswers()) as http:
        client = FaceSearch(service.address, keys["own"], timeout_s=150, retries=retries, http=http)
        client.delface(face.person_id)
        assert client.searchface(hopper_jpeg()) == []


def test_an_add_that_begins_while_the_service_is_down_is_done_when_it_is_back(tmp_path: Path) -> None:
    settings = {"FACESEARCH_API_KEY": "the-first-key"}
    with Service(tmp_path, settings) as first:
        port = int(first.address.rpartition(":")[2])
    with (
        ThreadPoolExecutor(1) as caller,
        FaceSearch(first.address, "the-first-key", timeout_s=150, retries=Retries(for_s=110, longest_s=1)) as client,
    ):
        added = caller.submit(client.addface, hopper_jpeg(), name="Grace")
        with Service(tmp_path, settings, port=port):
            (face,) = added.result()
            assert [found.person_id for found in client.searchface(hopper_jpeg())] == [face.person_id]


EXAMPLES = re.findall(
    r"^```python\n(.*?)^```\n(?:\n|\nprints\n\n)*```text\n(.*?)^```$",
    (CLIENT / "README.md").read_text(),
    re.DOTALL | re.MULTILINE,
)


def test_every_example_of_the_readme_is_run() -> None:
    assert len(EXAMPLES) == (CLIENT / "README.md").read_text().count("```python\n") == 9


@pytest.mark.parametrize(("code", "printed"), EXAMPLES)
def test_an_example_of_the_readme_prints_what_it_says(
    service: Service, tmp_path: Path, code: str, printed: str
) -> None:
    _, keys = new_tenant(service.broker, own={})
    (tmp_path / ".local/share/facesearch").mkdir(parents=True)
    (tmp_path / ".local/share/facesearch/api-key").write_text(f"{keys['own']}\n")
    (tmp_path / "samples").mkdir()
    for name, image in (("grace.jpg", hopper_jpeg()), ("eileen.png", astronaut_png()), ("coffee.png", faceless_png())):
        (tmp_path / "samples" / name).write_bytes(image)
    assert "http://127.0.0.1:8000" in code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace("http://127.0.0.1:8000", service.address)],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(CLIENT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == printed, done.stderr
