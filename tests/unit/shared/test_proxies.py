"""The list of trusted proxies."""

import pytest

from shared import proxies
from shared.errors import OperatorError
from shared.settings import Settings


def test_addresses_and_networks_of_ipv4_and_ipv6() -> None:
    networks = proxies.parse("10.0.0.7, 10.1.0.0/16 fd00::/8")
    assert [str(network) for network in networks] == ["10.0.0.7/32", "10.1.0.0/16", "fd00::/8"]


@pytest.mark.parametrize("wrong", ["10.0.0.0.1", "10.0.0.1/8", "proxy.example", "10.0.0.1/99", " , "])
def test_a_malformed_list_is_an_error_that_names_the_setting(wrong: str) -> None:
    with pytest.raises(OperatorError, match="FACESEARCH_TRUSTED_PROXIES") as caught:
        Settings.read(trusted_proxies=f"10.0.0.7,{wrong}" if wrong.strip(" ,") else wrong)
    assert wrong.strip(" ,") == "" or wrong not in str(caught.value)


def test_without_the_setting_no_proxy_is_trusted() -> None:
    assert Settings(trusted_proxies=None).known_proxies == ()
