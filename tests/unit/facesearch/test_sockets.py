"""Which port the admin API gets."""

import pytest

from facesearch.embedded.sockets import admin_port
from shared.settings import Settings


@pytest.mark.parametrize(
    ("chosen", "port"),
    [
        ({}, 8001),
        ({"port": 9000}, 9001),
        ({"port": 0}, 0),
        ({"port": 65535}, 0),
        ({"port": 9000, "admin_port": 8001}, 8001),
        ({"admin_port": 7000}, 7000),
    ],
)
def test_it_is_next_to_the_chosen_one_unless_it_was_chosen_itself(chosen: dict[str, int], port: int) -> None:
    assert admin_port(Settings(**chosen)) == port
