"""Which network addresses belong to the internet, and which URLs a peer may have. Pure.

A peer's address is what a stranger wrote, or what a name server made of it. Called from inside a
network it must not lead to what stands there: to the machine itself, to its neighbours, to the
metadata service of a cloud. Such addresses are called only where ``allow_private`` is set. The
name in a URL proves nothing: what is judged is the address that a connection is made to.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = ipaddress.IPv6Network("2002::/16")
_NOT_PUBLIC: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments (RFC 6890), also those called global
            "192.88.99.0/24",  # relays of 6to4, withdrawn (RFC 7526)
            "2001::/23",  # protocol assignments, Teredo among them (RFC 4380)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
"""What `ipaddress` calls global, or does in some versions."""
_PORT_FREE_MIN: Final = 1024
_WEB_PORTS: Final = frozenset({80, 443})

ADVICE: Final = "set allow_private = true in replicator.toml to call such addresses"


def is_public(text: str) -> bool:
    """Tell whether an IP address, as the system writes it, is one of the internet.

    False for what is private, loopback, link-local, shared (RFC 6598), multicast, reserved or
    unspecified, for IPv4 addresses that are mapped into IPv6, for addresses with a zone, and for
    those that embed such an IPv4 address (NAT64, 6to4); also for what is no address at all.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return _is_public(address)
    if address.scope_id is not None:
        return False
    if address in _NAT64:
        return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address in _SIX_TO_FOUR:
        return _is_public(ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF))
    return address in _GLOBAL_UNICAST and _is_public(address)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def is_private_host(host: str) -> bool:
    """Tell whether a URL's host, as it is written, can only lead to an address not `is_public`.

    A name that resolves to one is found when it is resolved; here are only addresses, in their odd
    spellings too (no name ends in a number), and ``localhost``.
    """
    name = host.strip("[]").rstrip(".").lower()
    try:
        ipaddress.ip_address(name.replace("%25", "%"))
    except ValueError:
        last = name.rpartition(".")[2]
        return last == "localhost" or last[:1].isdigit()
    return not is_public(name.replace("%25", "%"))


def address_objection(url: str) -> str | None:
    """Return why a peer's address is not called, as far as it can be seen from its spelling."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "this is no URL"
    if is_private_host(host):
        return f"{host} is a private address; {ADVICE}"
    return port_objection(port)


def port_objection(port: int | None) -> str | None:
    """Return why a port is none that a stranger may have called; None: it may be.

    Below 1024 other services than the web's listen, and some of them take a request for orders.
    """
    if port is None or port in _WEB_PORTS or port >= _PORT_FREE_MIN:
        return None
    return f"port {port} belongs to another service; 80, 443 and those from 1024 on are called"
