"""The URL and options of the queue as Celery expects them. Tests on real servers show that they work."""

import pytest

from shared.broker import celery_config, celery_url
from shared.settings import Settings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///run/v.sock", "redis+socket:///run/v.sock?virtual_host=0"),
        ("unix:///run/v.sock?db=3", "redis+socket:///run/v.sock?virtual_host=3"),
        ("redis://u:p%40%2Fs@h:1/2", "redis://u:p%40%2Fs@h:1/2"),
        ("redis://:p@[::1]", "redis://:p@[::1]:6379/0"),
        ("rediss://h:1/2?ssl_ca_certs=/ca", "redis://h:1/2"),
        ("redis+sentinel://:p@a,b:5/main/1", "sentinel://:p@a:26379/1;sentinel://:p@b:5/1"),
    ],
)
def test_urls(url: str, expected: str) -> None:
    assert celery_url(url) == expected


def test_tls_is_an_option_of_queue_and_results() -> None:
    config = celery_config(Settings(redis_url="rediss://h?ssl_ca_certs=/ca"))
    tls = {"ssl_ca_certs": "/ca", "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    assert config["broker_use_ssl"] == config["redis_backend_use_ssl"] == tls


def test_sentinels_get_the_masters_name_and_a_login_of_their_own() -> None:
    config = celery_config(Settings(redis_url="rediss+sentinel://:p@a/main?sentinel_password=q&ssl_cert_reqs=none"))
    for options in (config["broker_transport_options"], config["result_backend_transport_options"]):
        assert options["master_name"] == "main"
        assert options["sentinel_kwargs"] == {
            "socket_timeout": 1.0,
            "socket_connect_timeout": 1.0,
            "password": "q",
            "ssl": True,
            "ssl_cert_reqs": "none",
            "ssl_check_hostname": False,
        }


def test_a_single_server_gets_neither_tls_nor_a_master() -> None:
    config = celery_config(Settings(redis_url="redis://h"))
    assert not config["broker_use_ssl"]
    assert "master_name" not in config["broker_transport_options"]
