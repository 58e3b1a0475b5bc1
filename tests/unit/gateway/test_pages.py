"""Pages for browsers: what is served, with which headers, and that nothing of them comes from another host."""

import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.pages import routes
from gateway.pages.files import read_files
from gateway.pages.routes import API_POLICY, CONSOLE_POLICY, api_page, console, is_page, to_console

FOLDER = Path(routes.__file__).parent

SWAGGER_UI = {
    "swagger-ui-bundle.js": "3f6abf70480db7e07914df4c98a77385f22ea585eaf457a3e6415ba0eae2d167",
    "swagger-ui.css": "c3cfe8248c4b0b89673600fb829924eafbac6de4bc4b2b06f5f5243483074d0a",
}
"""SHA-256 of the files of Swagger UI 5.34.0 as flask-swagger-ui 5.34.0 carries them; docs/dependencies.md says how."""


@pytest.fixture
async def client() -> AsyncIterator[TestClient]:
    app = web.Application()
    app.add_routes(api_page("gateway.js"))
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def aiohttp_console() -> AsyncIterator[TestClient]:
    app = web.Application()
    app.add_routes([web.get("/", to_console), *console("main.js")])
    async with TestClient(TestServer(app)) as client:
        yield client


class TestThePageOfTheApi:
    async def test_it_is_html_that_may_load_nothing_from_elsewhere(self, client: TestClient) -> None:
        response = await client.get("/docs")
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Content-Security-Policy"] == API_POLICY
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"

    async def test_all_that_it_names_is_there(self, client: TestClient) -> None:
        text = await (await client.get("/docs")).text()
        named = re.findall(r'(?:href|src)="([^"]+)"', text)
        assert len(named) >= 5
        for name in named:
            assert name.startswith("docs/"), "relative to the page, so that a proxy may put a prefix before it"
            assert (await client.get(f"/{name}")).status == 200

    async def test_a_script_is_of_the_type_that_browsers_run(self, client: TestClient) -> None:
        response = await client.get("/docs/start.js")
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert await response.text() == (FOLDER / "api/gateway.js").read_text()

    async def test_licences_are_in_the_package_and_not_served(self, client: TestClient) -> None:
        assert "Apache License, Version 2.0" in (FOLDER / "api/swagger-ui.LICENSE").read_text()
        assert (await client.get("/docs/swagger-ui.LICENSE")).status == 404

    async def test_swagger_ui_is_the_release_that_is_named(self, client: TestClient) -> None:
        for name, digest in SWAGGER_UI.items():
            found = await (await client.get(f"/docs/{name}")).read()
            assert hashlib.sha256(found).hexdigest() == digest


class TestFiles:
    async def test_one_that_a_browser_has_is_not_sent_again(self, client: TestClient) -> None:
        first = await client.get("/docs/page.css")
        again = await client.get("/docs/page.css", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status, await again.read()) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
        other = await client.get("/docs/page.css", headers={"If-None-Match": '"another"'})
        assert other.status == 200

    @pytest.mark.parametrize("name", ["page.css", "swagger-ui.css"])
    async def test_it_is_compressed_only_for_who_asks(self, client: TestClient, name: str) -> None:
        plain = await client.get(f"/docs/{name}", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        compressed = await client.get(f"/docs/{name}", headers={"Accept-Encoding": "br, gzip"}, auto_decompress=False)
        assert compressed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await compressed.read()) == await plain.read()

    def test_what_is_no_file_of_a_page_is_left_out(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep/a.js").write_text("1")
        (tmp_path / "notes.txt").write_text("2")
        (tmp_path / "b.css.gz").write_bytes(gzip.compress(b"3"))
        assert {name: file.plain for name, file in read_files(tmp_path).items()} == {"b.css": b"3", "deep/a.js": b"1"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/docs", True),
        ("/docs/a.js", True),
        ("/docsx", False),
        ("/", False),
        ("/console/main.js", True),
        ("/admin/v1/docs", False),
        ("/openapi.json", False),
    ],
)
def test_paths_of_pages(path: str, expected: bool) -> None:
    assert is_page(path) is expected


def test_no_script_of_ours_names_another_host() -> None:
    ours = [path for suffix in ("js", "html", "css", "json", "svg") for path in FOLDER.rglob(f"*.{suffix}")]
    assert len(ours) >= 5
    for path in ours:
        hosts = set(re.findall(r"https?://[^\s\"'`<>)]+", path.read_text())) - {"http://www.w3.org/2000/svg"}
        assert not hosts, path


class TestTheConsole:
    def test_both_languages_have_the_same_texts_with_the_same_values(self) -> None:
        english, chinese = (json.loads((FOLDER / f"console/{language}.json").read_text()) for language in ("en", "zh"))
        assert english.keys() == chinese.keys()
        for key, text in english.items():
            assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", chinese[key])), key

    def test_every_text_that_it_shows_is_in_the_catalogue(self) -> None:
        english = json.loads((FOLDER / "console/en.json").read_text())
        ours = "\n".join(path.read_text() for path in (FOLDER / "console").glob("*.[jh]*") if path.suffix != ".json")
        shown = set(re.findall(r'(?:\btext|\bsay|announce)\("([\w-]+)"|data-text="([\w-]+)"', ours))
        named = {first or second for first, second in shown}
        assert len(named) > 50
        assert named <= english.keys()

    def test_no_module_is_long(self) -> None:
        assert max(len(path.read_text().splitlines()) for path in (FOLDER / "console").glob("*.js")) <= 250

    async def test_the_root_leads_to_it(self, aiohttp_console: TestClient) -> None:
        response = await aiohttp_console.get("/")
        assert (response.status, str(response.url.path)) == (200, "/console")
        assert response.headers["Content-Security-Policy"] == CONSOLE_POLICY
        named = re.findall(r'(?:href|src)="(console/[^"]+)"', await response.text())
        assert len(named) >= 4
        for name in named:
            assert (await aiohttp_console.get(f"/{name}")).status == 200
