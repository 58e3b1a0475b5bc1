"""A Redis that wants TLS and a password: every client of the service, and what each says when it may not come in."""

import asyncio
import base64
import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import ConnectionError as RedisConnectionError

from facesearch.cli import doctor
from portraits import hopper_jpeg
from redis_servers import ESCAPED, PASSWORD, Tls, tls_in_front, tls_redis
from service import Service
from shared.redis_clients import connect, connect_blocking

IMG = {"img": base64.b64encode(hopper_jpeg()).decode()}


@pytest.fixture(scope="module", params=[tls_in_front, tls_redis], ids=["in front of Valkey", "redis-server"])
def secured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    with request.param(tmp_path_factory.mktemp("tls")) as running:
        yield running


def reached(url: str) -> None:
    """Both kinds of client come in, to the database that the URL names."""

    async def ping() -> None:
        async with connect(url) as client:
            await client.set("a", "b")

    asyncio.run(ping())
    with connect_blocking(url) as client:
        assert client.getdel("a") == b"b"


def refusal(url: str) -> str:
    """What a client says that does not come in. The socket of a handshake that failed asyncio leaves to the collector,
    which must not come upon it in the midst of another test.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            reached(url)
        except RedisConnectionError as error:
            said = str(error)
        else:
            raise AssertionError("it came in")
        gc.collect()
    return said


def test_a_certificate_that_is_vouched_for(secured: Tls) -> None:
    reached(secured.url())


def test_a_certificate_that_is_not_asked_for(secured: Tls) -> None:
    reached(f"rediss://:{ESCAPED}@{secured.host_port}/1?ssl_cert_reqs=none")


@pytest.mark.parametrize(
    "wrong",
    [
        "rediss://:{password}@{host_port}/1",  # nobody vouches for the certificate
        "rediss://:{password}@localhost:{port}/1?ssl_ca_certs={certificate}",  # it is another host's
        "redis://:{password}@{host_port}/1",  # no TLS
        "rediss://:wrong@{host_port}/1?ssl_ca_certs={certificate}",
        "rediss://{host_port}/1?ssl_ca_certs={certificate}",
    ],
)
def test_nobody_else_comes_in(secured: Tls, wrong: str) -> None:
    port = secured.host_port.partition(":")[2]
    url = wrong.format(password=ESCAPED, host_port=secured.host_port, port=port, certificate=secured.certificate)
    said = refusal(url)
    assert PASSWORD not in said
    assert not doctor._redis("redis", "REDIS_URL", lambda: url).well


def test_a_name_that_the_certificate_lacks_may_be_let_pass(secured: Tls) -> None:
    port = secured.host_port.partition(":")[2]
    reached(f"rediss://:{ESCAPED}@localhost:{port}/1?ssl_ca_certs={secured.certificate}&ssl_check_hostname=false")


@pytest.mark.slow
def test_the_whole_service(secured: Tls, tmp_path: Path) -> None:
    with Service(tmp_path, {"REDIS_URL": secured.url()}) as service:
        (added,) = service.http.post("/v1/addface", data=IMG).json()["message"]
        (found,) = service.http.post("/v1/searchface", data=IMG).json()["message"]
        assert found["person_id"] == added["person_id"]
        said = "".join(service.said)
    assert PASSWORD not in said
    assert ESCAPED not in said


def test_doctor_reaches_it(secured: Tls) -> None:
    assert doctor._redis("redis", "REDIS_URL", secured.url).detail.startswith("answers, version ")
