"""Which addresses are of the internet, and which URLs can be seen to lead elsewhere."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.rules.addresses import (
    ADVICE,
    address_objection,
    is_private_host,
    is_public,
    port_objection,
)

NAT64 = ipaddress.ip_network("64:ff9b::/96")


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.255.255",
        "172.32.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001::5",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_addresses_of_the_internet(address):
    assert is_public(address)
    assert not is_private_host(f"[{address}]" if ":" in address else address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104  # nothing is bound to it
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.9",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::",
        "2002:c0a8:101::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2606:4700::1111%eth0",
        "",
        "node.example",
        "127.1",
    ],
)
def test_addresses_that_are_not(address):
    assert not is_public(address)


@given(st.ip_addresses())
def test_no_address_is_of_the_internet_that_the_library_says_is_not(address):
    if is_public(str(address)) and address not in NAT64:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_link_local
    if address.version == 4:
        assert not is_public(f"::ffff:{address}")
        assert is_public(f"64:ff9b::{address}") is is_public(str(address))


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost.", "board.localhost", "127.1", "2130706433", "0x7f.0.0.1"),
        *("0177.0.0.1", "0x7f000001", "1.2.3.4.5", "10.0.0.1", "[::1]", "[fe80::1%25eth0]"),
        *("127.0.0.1.", "0"),
    ],
)
def test_hosts_that_are_seen_not_to_be_of_the_internet(host):
    assert is_private_host(host)
    assert (
        address_objection(f"http://{host}")
        == f"{host.strip('[]').lower()} is a private address; {ADVICE}"
    )


@pytest.mark.parametrize("host", ["node.example", "8.8.8.8", "[2606:4700::1111]", "10.example", ""])
def test_names_are_judged_when_they_are_resolved(host):
    assert not is_private_host(host)


@pytest.mark.parametrize(
    ("port", "called"),
    [
        (80, True),
        (443, True),
        (1024, True),
        (8470, True),
        (65535, True),
        (None, True),
        (1, False),
        (22, False),
        (25, False),
        (1023, False),
    ],
)
def test_ports_of_other_services_are_not_called(port, called):
    assert (port_objection(port) is None) is called
    url = "https://node.example" + ("" if port is None else f":{port}")
    assert (address_objection(url) is None) is called


def test_what_is_no_url_is_not_called():
    assert address_objection("http://[::1") == "this is no URL"
