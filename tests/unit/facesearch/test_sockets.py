"""The port of the admin API."""

import pytest

from facesearch.embedded.sockets import admin_port
from shared.settings import Settings


@pytest.mark.parametrize(
    ("options", "port"),
    [
        ({}, 8001),
        ({"port": 9000}, 9001),
        ({"port": 0}, 0),
        ({"port": 65535}, 0),
        ({"port": 9000, "admin_port": 8001}, 8001),
        ({"admin_port": 7000}, 7000),
    ],
)
def test_the_admin_port_follows_the_port_of_the_gateway_unless_it_is_set(options: dict[str, int], port: int) -> None:
    assert admin_port(Settings(**options)) == port
