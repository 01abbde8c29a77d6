"""Names to addresses, in bounded time.

The system's resolver takes as long as it likes and cannot be interrupted, so a name is looked up
in a thread of its own, which is left alone when the caller's time is over. It ends by itself, with
the resolver; how many may be left is bounded.
"""

import ipaddress
import socket
import threading
import time
from typing import Any, Final

_LOOKUPS_MAX: Final = 64
"""At once, in one process: more than any worker has threads; beyond, resolvers do not answer."""
_SLOTS: Final = threading.BoundedSemaphore(_LOOKUPS_MAX)

Found = tuple[socket.AddressFamily, socket.SocketKind, Any]
"""A family, a kind and a socket address."""


def resolve(host: str, port: int, deadline: float) -> list[Found]:
    """Return the addresses of a host, in the system's order.

    Args:
        host: a name or an address, in any spelling that the system knows.
        deadline: on the monotonic clock.

    Raises:
        OSError: there is none, or no answer in time (`TimeoutError`).
        UnicodeError: it cannot be a name.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _Lookup(host, port).wait(deadline)
    return _look_up(host, port)


class _Lookup(threading.Thread):
    def __init__(self, host: str, port: int) -> None:
        super().__init__(name="resolve", daemon=True)
        self._asked = (host, port)
        self._found: list[Found] | Exception = []
        if not _SLOTS.acquire(blocking=False):
            raise TimeoutError("too many names are being looked up without an answer")
        try:
            self.start()
        except RuntimeError:
            _SLOTS.release()
            raise

    def wait(self, deadline: float) -> list[Found]:
        self.join(max(0.0, deadline - time.monotonic()))
        if self.is_alive():
            raise TimeoutError("the name was not resolved in time")
        if isinstance(self._found, Exception):
            raise self._found
        return self._found

    def run(self) -> None:
        try:
            self._found = _look_up(*self._asked)
        except Exception as error:  # raised again by whoever waits
            self._found = error
        finally:
            _SLOTS.release()


def _look_up(host: str, port: int) -> list[Found]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, kind, address) for family, kind, _, _, address in found]
