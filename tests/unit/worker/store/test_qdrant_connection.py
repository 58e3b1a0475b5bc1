"""How a client of Qdrant is made, and how long its calls may take."""

from pathlib import Path

import httpx
import pytest

from shared.errors import OperatorError
from shared.settings import Settings
from worker.store.qdrant.connection import connect
from worker.store.qdrant.retries import Retries


@pytest.mark.parametrize("url", [None, "ftp://qdrant", "http://qdrant:port"])
def test_a_malformed_url_is_an_error_that_names_the_setting(url: str | None) -> None:
    with pytest.raises(OperatorError, match="QDRANT_URL"):
        connect(Settings(qdrant_url=url), Retries(1))


def test_unreadable_certificate_authorities_are_an_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    with pytest.raises(OperatorError, match="SSL_CERT_FILE"):
        connect(Settings(qdrant_url="https://qdrant"), Retries(1))


def test_connecting_and_reading_together_take_at_most_one_attempt() -> None:
    retries = Retries(3)
    client = connect(Settings(qdrant_url="http://qdrant"), retries)
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    with retries.operation():
        client._limited(httpx.Request("GET", "http://qdrant"), answer)
        left = retries.attempt_s()
    phases = seen[0].extensions["timeout"]
    assert phases["connect"] + phases["read"] == pytest.approx(left, abs=0.1)
    assert client._timeout == pytest.approx(1.5, abs=0.1)
    client.close()
