"""All that one address can hold of a gateway, held at once by clients that do not listen."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from replicator.cli.demo_node import Site
from tests.support.hostile.raw import GET, POST

ADDRESS = "127.0.0.2"
HALF = POST + b"content-length: 9\r\n\r\n1"
UNREAD = (GET + b"\r\n") * 60


def connect(site: Site, address: str) -> socket.socket:
    """Connect to a node from an address of this machine."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.bind((address, 0))
    client.connect(("127.0.0.1", site.gateway_port))
    return client


@contextmanager
def holding(site: Site, data: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Send the same on so many connections of one address, and read nothing."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(site, ADDRESS)) for _ in range(count)]
        for client in clients:
            with suppress(OSError):  # it may have been turned away
                client.sendall(data)
        yield clients


def is_heard(site: Site) -> bool:
    """Tell whether the address that held what it could is answered on a new connection."""
    with connect(site, ADDRESS) as client:
        try:
            client.sendall(GET + b"\r\n")
            return client.recv(100).startswith(b"HTTP/1.1 ")
        except ConnectionError:
            return False
