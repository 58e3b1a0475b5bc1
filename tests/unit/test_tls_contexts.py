"""Clients share a TLS context only where they trust the same certificates."""

import shutil
from pathlib import Path

import certifi
import httpx
import pytest
from httpx._transports import default


def context(**options: bool) -> object:
    with httpx.Client(**options) as client:
        return client._transport._pool._ssl_context  # type: ignore[attr-defined]


def test_clients_of_the_same_certificates_share_a_context() -> None:
    assert context() is context()


def test_other_certificates_are_other_contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = context()
    copy = tmp_path / "own.pem"
    shutil.copy(certifi.where(), copy)
    monkeypatch.setenv("SSL_CERT_FILE", str(copy))
    assert context() is not before
    assert context() is context()
    assert context(trust_env=False) is not context()


def test_a_client_that_verifies_nothing_has_its_own() -> None:
    assert default.create_ssl_context(verify=False) is not default.create_ssl_context()
    assert not default.create_ssl_context(verify=False).check_hostname
