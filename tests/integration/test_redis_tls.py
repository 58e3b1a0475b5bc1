"""A Redis with TLS and a password: every client of the service, and the error of each that is refused."""

import asyncio
import base64
import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import ConnectionError as RedisConnectionError

from facesearch.diagnosis import checks
from portraits import hopper_jpeg
from redis_servers import ESCAPED, PASSWORD, Tls, tls_in_front, tls_redis
from service import Service
from shared.redis_clients import connect, connect_blocking

IMG = {"img": base64.b64encode(hopper_jpeg()).decode()}


@pytest.fixture(scope="module", params=[tls_in_front, tls_redis], ids=["in front of Valkey", "redis-server"])
def secured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    with request.param(tmp_path_factory.mktemp("tls")) as running:
        yield running


def require_access(url: str) -> None:
    """Require that both kinds of client reach the database that the URL names."""

    async def ping() -> None:
        async with connect(url) as client:
            await client.set("a", "b")

    asyncio.run(ping())
    with connect_blocking(url) as client:
        assert client.getdel("a") == b"b"


def refusal(url: str) -> str:
    """Return the error of a client that is refused. Collects garbage, since asyncio leaves the socket of a failed
    handshake to the collector, which must not report it during another test.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            require_access(url)
        except RedisConnectionError as error:
            said = str(error)
        else:
            raise AssertionError("the client was accepted")
        gc.collect()
    return said


def test_a_trusted_certificate_is_accepted(secured: Tls) -> None:
    require_access(secured.url())


def test_the_check_of_the_certificate_can_be_turned_off(secured: Tls) -> None:
    require_access(f"rediss://:{ESCAPED}@{secured.host_port}/1?ssl_cert_reqs=none")


@pytest.mark.parametrize(
    "wrong",
    [
        "rediss://:{password}@{host_port}/1",  # the certificate is not trusted
        "rediss://:{password}@localhost:{port}/1?ssl_ca_certs={certificate}",  # the certificate is for another host
        "redis://:{password}@{host_port}/1",  # no TLS
        "rediss://:wrong@{host_port}/1?ssl_ca_certs={certificate}",
        "rediss://{host_port}/1?ssl_ca_certs={certificate}",
    ],
)
def test_all_other_clients_are_refused(secured: Tls, wrong: str) -> None:
    port = secured.host_port.partition(":")[2]
    url = wrong.format(password=ESCAPED, host_port=secured.host_port, port=port, certificate=secured.certificate)
    said = refusal(url)
    assert PASSWORD not in said
    assert not checks._redis("redis", "REDIS_URL", lambda: url).well


def test_the_check_of_the_host_name_can_be_turned_off(secured: Tls) -> None:
    port = secured.host_port.partition(":")[2]
    require_access(
        f"rediss://:{ESCAPED}@localhost:{port}/1?ssl_ca_certs={secured.certificate}&ssl_check_hostname=false"
    )


@pytest.mark.slow
def test_the_whole_service_works(secured: Tls, tmp_path: Path) -> None:
    with Service(tmp_path, {"REDIS_URL": secured.url()}) as service:
        (added,) = service.http.post("/v1/addface", data=IMG).json()["message"]
        (found,) = service.http.post("/v1/searchface", data=IMG).json()["message"]
        assert found["person_id"] == added["person_id"]
        said = "".join(service.said)
    assert PASSWORD not in said
    assert ESCAPED not in said


def test_doctor_reaches_it(secured: Tls) -> None:
    assert checks._redis("redis", "REDIS_URL", secured.url).detail.startswith("answers, version ")
