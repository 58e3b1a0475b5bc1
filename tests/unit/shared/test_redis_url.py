"""URLs of a Redis: how they are read, and how malformed ones are refused."""

import pytest

from shared.errors import OperatorError
from shared.redis_url import RedisUrl, parse

REQUIRED = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", RedisUrl((("h", 6379),))),
        ("redis://h:1/2", RedisUrl((("h", 1),), database=2)),
        ("redis://h/?db=3", RedisUrl((("h", 6379),), database=3)),
        ("redis://[::1]:5/", RedisUrl((("::1", 5),))),
        ("redis://:p%40%2Fs@h", RedisUrl((("h", 6379),), login={"password": "p@/s"})),
        ("redis://u:p@h", RedisUrl((("h", 6379),), login={"username": "u", "password": "p"})),
        ("unix:///run/v.sock", RedisUrl((), "/run/v.sock")),
        ("unix:///a%20b?db=4", RedisUrl((), "/a b", database=4)),
        ("rediss://h", RedisUrl((("h", 6379),), tls=REQUIRED)),
        (
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
            RedisUrl(
                (("h", 6379),),
                tls={"ssl_ca_certs": "/ca.pem", "ssl_certfile": "/c.pem", "ssl_keyfile": "/k.pem", **REQUIRED},
            ),
        ),
        (
            "rediss://h?ssl_cert_reqs=none",
            RedisUrl((("h", 6379),), tls={"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        ),
        ("redis+sentinel://a,b:5,[::1]/main", RedisUrl((("a", 26379), ("b", 5), ("::1", 26379)), master="main")),
        (
            "redis+sentinel://:p@a/main/2?sentinel_username=s&sentinel_password=q%26",
            RedisUrl(
                (("a", 26379),),
                master="main",
                database=2,
                login={"password": "p"},
                sentinel_login={"username": "s", "password": "q&"},
            ),
        ),
        ("rediss+sentinel://a/main", RedisUrl((("a", 26379),), master="main", tls=REQUIRED)),
    ],
)
def test_every_form_of_url_is_read(url: str, expected: RedisUrl) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "its scheme is unknown"),
        ("hunter2", "its scheme is unknown"),
        ("http://:hunter2@h", "its scheme is unknown"),
        ("sentinel://:hunter2@h", "its scheme is unknown"),
        ("redis://", "a host is missing"),
        ("redis://:hunter2@:6379", "a host is missing"),
        ("redis://:hunter2@h:port", "a host or port makes no sense"),
        ("redis://:hunter2@h:99999", "a host or port makes no sense"),
        ("redis://:hunter2@[h", "its host makes no sense"),
        ("redis://:hunter2@h/one", "its database is no number"),
        ("redis://:hunter2@h/1/2", "its path is too long"),
        ("redis://:hunter2@a,b", r"several hosts are for redis\+sentinel://"),
        ("redis://:hunter2@h?ssl_ca_certs=/ca", "'ssl_ca_certs' in its query is not known here, or needs TLS"),
        ("redis://:hunter2@h?passwd=hunter2", "'passwd' in its query is not known here"),
        ("rediss://:hunter2@h?ssl_cert_reqs=optional", "ssl_cert_reqs is required or none"),
        ("rediss://:hunter2@h?ssl_check_hostname=0", "ssl_check_hostname is true or false"),
        ("unix://", "a Unix socket needs a path"),
        ("unix:///s?db=-1", "its database is no number"),
        ("redis+sentinel://:hunter2@a,b", "the name of the master is missing"),
        ("redis+sentinel://:hunter2@a,,b/main", "a host is missing"),
        ("redis+sentinel://:hunter2@a/main/x", "its database is no number"),
    ],
)
def test_a_malformed_url_is_refused_in_one_line_without_its_secrets(url: str, why: str) -> None:
    with pytest.raises(OperatorError, match=f"^the URL of Redis is wrong: {why}") as error:
        parse(url)
    assert "REDIS_URL and FACESEARCH_IMAGES_URL are written redis://host:6379/0, " in str(error.value)
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)


def test_no_representation_shows_a_password() -> None:
    shown = repr(parse("redis+sentinel://u:hunter2@a/main?sentinel_password=hunter2"))
    assert "hunter2" not in shown
    assert "main" in shown
