"""No webhook reaches an address that is not of the public internet, however the address is written."""

import ipaddress
import socket
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from gateway.webhooks.addresses import is_allowed
from gateway.webhooks.sending import CheckedResolver, Refused, Sender
from gateway.webhooks.targets import OFF, WRONG, target
from shared import proxies
from shared.errors import InvalidRequest
from shared.webhook_hosts import parse

PUBLIC = ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::5e"]

INNER = {
    "loopback": ["127.0.0.1", "127.8.8.8", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00::1", "fc00::1"],
    "link-local, cloud metadata": ["169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254"],
    "carrier-grade NAT": ["100.64.0.1", "100.127.255.255"],
    "this host": ["0.0.0.0", "0.1.2.3", "::"],  # noqa: S104 -- nothing is bound
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "broadcast and reserved": ["255.255.255.255", "240.0.0.1"],
    "documentation and benchmarks": [
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "2001:db8::1",
        "3fff::1",
    ],
    "protocols": ["192.0.0.1", "192.88.99.1", "2001::1", "2001:2::1", "2001:10::1"],
    "IPv4 in IPv6": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:93.184.215.14", "::127.0.0.1", "::5db8:d70e"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:5db8:d70e::1"],
    "NAT64": ["64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a00:1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "site-local": ["fec0::1"],
    "no address": ["", "localhost", "127.1", "0x7f000001", "2130706433", "::g", "1.1.1.1/32"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address, ())


@pytest.mark.parametrize("address", [each for some in INNER.values() for each in some])
def test_no_other_address_is_allowed(address: str) -> None:
    assert not is_allowed(address, ())


def test_a_network_of_the_operator_is_allowed_and_no_other() -> None:
    networks = proxies.parse("10.1.0.0/16, fd00:7::/32")
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00:7::1"):
        assert is_allowed(address, networks)
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "fd00:8::1", "127.0.0.1"):
        assert not is_allowed(address, networks)


@given(st.ip_addresses(v=4))
def test_an_address_of_ipv4_in_one_of_ipv6_is_never_allowed_without_a_network(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for form in (
        f"::ffff:{address}",
        f"::{address}",
        f"64:ff9b::{address}",
        f"2002:{number >> 16:x}:{number & 65535:x}::1",
    ):
        assert not is_allowed(form, ())


def answering(*addresses: str) -> Any:
    """Return a look-up that finds these addresses."""

    async def resolve(_host: str, port: int, _family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        kinds = [
            (socket.AF_INET6, (one, port, 0, 0)) if ":" in one else (socket.AF_INET, (one, port)) for one in addresses
        ]
        return [(kind, socket.SOCK_STREAM, 6, "", where) for kind, where in kinds]

    return resolve


class TestResolver:
    async def test_the_addresses_of_a_name_are_those_that_are_connected_to(self) -> None:
        found = await CheckedResolver((), answering(*PUBLIC)).resolve("hooks.example.com", 443)
        assert [one["host"] for one in found] == PUBLIC
        assert {one["hostname"] for one in found} == {"hooks.example.com"}, "which the certificate must be of"

    @pytest.mark.parametrize("addresses", [["10.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::1", "93.184.215.14"], []])
    async def test_one_address_that_is_not_allowed_is_enough_to_refuse(self, addresses: list[str]) -> None:
        with pytest.raises(OSError, match="not allowed"):
            await CheckedResolver((), answering(*addresses)).resolve("hooks.example.com", 443)

    async def test_nothing_is_sent_to_a_name_with_an_inner_address(self) -> None:
        sender = Sender(1, (), answering("127.0.0.1"))
        try:
            with pytest.raises(Refused, match="an address of the host is not allowed"):
                await sender.send(URL("https://hooks.example.com/"), b"{}", {})
        finally:
            await sender.close()

    async def test_proxies_and_cookies_of_the_environment_are_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        sender = Sender(1, (), answering("10.0.0.1"))
        try:
            assert not sender._session.trust_env
            assert isinstance(sender._session.cookie_jar, aiohttp.DummyCookieJar)
            with pytest.raises(Refused, match="an address of the host"):
                await sender.send(URL("https://hooks.example.com/"), b"{}", {})
        finally:
            await sender.close()


class TestTargets:
    HOSTS = parse("hooks.example.com, *.partner.example:8443")

    @pytest.mark.parametrize(
        "text",
        [
            "https://hooks.example.com/a?token=b",
            "https://HOOKS.example.com",
            "https://hooks.example.com:443/",
            "https://a.b.partner.example:8443/x",
        ],
    )
    def test_a_url_of_an_allowed_host_is_taken(self, text: str) -> None:
        assert target(text, self.HOSTS).scheme == "https"

    @pytest.mark.parametrize(
        "text",
        [
            *("", "hooks.example.com", "/path", "http://hooks.example.com/", "ftp://hooks.example.com/"),
            *("https://hooks.example.com:8443/", "https://partner.example:8443/", "https://a.partner.example/"),
            *("https://example.com/", "https://hooks.example.com.evil.example/", "https://evilhooks.example.com/"),
            *(
                "https://hooks.example.com@evil.example/",
                "https://user@hooks.example.com/",
                "https://u:p@hooks.example.com/",
            ),
            *("https://hooks.example.com\\@evil.example/", "https://evil.example#@hooks.example.com/"),
            *("https://hooks.example.com/#part", "https://hooks.example.com./", "https://[::1]/", "https://127.0.0.1/"),
            *("https://2130706433/", "https://0x7f.1/", "https://hooks.example.com:0/", "https://hooks.example.com:x/"),
            *("https://hooks.example.com/ x", "https://hooks.example.com/é", "https://hooks.example.com/" + "x" * 2048),
            *("https://hooks.example.com%2eevil.example/", "https:hooks.example.com", "//hooks.example.com/"),
        ],
    )
    def test_no_other_url_is_taken(self, text: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            target(text, self.HOSTS)
        assert refused.value.reason == WRONG

    @given(st.text(max_size=60))
    def test_whatever_is_sent_is_taken_or_refused(self, text: str) -> None:
        try:
            url = target(f"https://{text}", self.HOSTS)
        except InvalidRequest:
            return
        assert (url.raw_host, url.port) == ("hooks.example.com", 443) or str(url.raw_host).endswith(".partner.example")

    def test_without_hosts_webhooks_are_off(self) -> None:
        with pytest.raises(InvalidRequest) as refused:
            target("https://hooks.example.com/", ())
        assert refused.value.reason == OFF


class TestHosts:
    def test_hosts_are_names_with_a_port(self) -> None:
        assert [tuple(host) for host in parse("Hooks.Example.com *.a.example:8443,localhost:9")] == [
            ("hooks.example.com", 443),
            ("*.a.example", 8443),
            ("localhost", 9),
        ]

    @pytest.mark.parametrize(
        "text",
        [
            *(
                "",
                " , ",
                "https://a.example",
                "a.example/",
                "127.0.0.1",
                "::1",
                "[::1]",
                "10.1",
                "*",
                "*.",
                "a.example:",
            ),
            *(
                "a.example:0",
                "a.example:65536",
                "a.example:x",
                "-a.example",
                "a..example",
                "a.example.",
                "x" * 64,
                "ü.example",
            ),
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"no host"):
            parse(text)
