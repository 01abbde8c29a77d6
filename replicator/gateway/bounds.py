"""What keeps the gateway's memory and work bounded: rates, and room that addresses share.

Pure: time is an argument, in seconds of a clock that never goes back. The objects belong to one
event loop and are not meant for threads.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from replicator.errors import ErrorCode, Refusal

RETRY_SECONDS = 1
"""What a refusal for want of room tells the asker: room comes back within a second or two."""
PROXIES: Final = frozenset({"127.0.0.1", "::/64"})
"""Groups of the addresses (``::1`` is in the second) from which a proxy on this machine speaks for
all peers at once: no share holds for them, and the proxy bounds each address behind it."""


@lru_cache(maxsize=4096)
def address_group(host: str | None) -> str:
    """Return what one rate is kept for: an IPv4 address, or the /64 an IPv6 address lies in.

    A host in the internet commonly has a whole /64, so that single IPv6 addresses bound nothing.
    """
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return host or ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


class Rates:
    """A token bucket per name; at most ``names_max`` of them are remembered.

    Args:
        per_second: tokens that come back per second.
        burst: tokens of a full bucket.
        names_max: buckets kept. The least recently used is forgotten, and so refilled: with that
            many addresses at hand a sender passes anyway.
    """

    def __init__(self, per_second: float, burst: int, names_max: int) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._names_max = names_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allows(self, name: str, now: float) -> bool:
        """Count one request of ``name``; False, and nothing counted, where its bucket is empty."""
        tokens, since = self._buckets.pop(name, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second)
        allowed = tokens >= 1.0
        self._buckets[name] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > self._names_max:
            self._buckets.popitem(last=False)
        return allowed


class AddressRates(Rates):
    """The rates of addresses."""

    def take(self, address: str, now: float) -> None:
        """Count one request of ``address``.

        Raises:
            Refusal: ``busy`` where its bucket is empty.
        """
        if not self.allows(address, now):
            raise Refusal(
                ErrorCode.BUSY, "too many requests from this address", retry_after=RETRY_SECONDS
            )


class Room:
    """So much of one thing, and how much of it one address may have.

    Only addresses that have some of it are remembered, so that what is counted bounds them.

    Args:
        total_max: of all addresses together; None: bounded elsewhere.
        each_max: of one address; a proxy on this machine may have all there is.
    """

    def __init__(self, total_max: int | None, each_max: int) -> None:
        self._total_max = total_max
        self._each_max = each_max
        self._taken: dict[str, int] = {}
        self.total = 0

    def __len__(self) -> int:
        return len(self._taken)

    def fits(self, address: str, amount: int = 1) -> bool:
        """Tell whether there is so much more for an address."""
        if self._total_max is not None and self.total + amount > self._total_max:
            return False
        return address in PROXIES or self._taken.get(address, 0) + amount <= self._each_max

    def take(self, address: str, amount: int = 1) -> bool:
        """Take so much for an address; False, and nothing taken, where there is no room."""
        if not self.fits(address, amount):
            return False
        self._add(address, amount)
        return True

    def give_back(self, address: str, amount: int = 1) -> None:
        """Give back what was taken, or a part of it."""
        self._add(address, -amount)

    def _add(self, address: str, amount: int) -> None:
        self.total += amount
        taken = self._taken.pop(address, 0) + amount
        if taken:
            self._taken[address] = taken


class Part:
    """What one holder has of a room: as much as it says, or less."""

    def __init__(self, room: Room, address: str) -> None:
        self._room = room
        self._address = address
        self.amount = 0

    def set(self, amount: int) -> bool:
        """Have so much from now on; False, and nothing changed, where there is no room for it."""
        more = amount - self.amount
        if more > 0 and not self._room.take(self._address, more):
            return False
        if more < 0:
            self._room.give_back(self._address, -more)
        self.amount = amount
        return True


def shared_room(total_max: int, share: float) -> Room:
    """Return a room of which one address may have a share: one at least, where it counts."""
    return Room(total_max, max(1, int(total_max * share)))


class Hold:
    """One request's part of what is in flight; made by `InFlight.arrive` and `InFlight.enter`."""

    def __init__(self, in_flight: "InFlight", address: str) -> None:
        self._arriving = Part(in_flight.arriving, address)
        self._open = Part(in_flight.open, address)
        self._bytes = Part(in_flight.bytes, address)

    def grow(self, size: int) -> None:
        """Take ``size`` more bytes; raise `Refusal` ``busy`` where there is no room for them."""
        if not self._bytes.set(self._bytes.amount + size):
            raise Refusal(ErrorCode.BUSY, "too much is in flight here", retry_after=RETRY_SECONDS)

    def arrive(self) -> None:
        """Count it as a request whose body is still to come.

        Raises:
            Refusal: ``busy`` where too many are.
        """
        if not self._arriving.set(1):
            raise _too_many()

    def complete(self) -> None:
        """Count it as an open request: its body is here. The second time does nothing.

        Raises:
            Refusal: ``busy`` where too many are open.
        """
        if not self._open.set(1):
            raise _too_many()
        self._arriving.set(0)

    def free(self) -> None:
        """Give back all that was taken."""
        for part in (self._arriving, self._open, self._bytes):
            part.set(0)


class InFlight:
    """Counts requests and their bytes; what is entered is given back whatever happens.

    A request whose body is still arriving is no open one: it costs its sender next to nothing, so
    it takes no place from complete ones. How many arrive is bounded per address, and in all by the
    connections; how long, by the time a body has.

    Args:
        requests_max: complete requests.
        bytes_max: bytes of all bodies.
        share: of each of them, what one address may have.
    """

    def __init__(self, requests_max: int, bytes_max: int, share: float = 1.0) -> None:
        self.open = shared_room(requests_max, share)
        self.bytes = shared_room(bytes_max, share)
        self.arriving = Room(None, max(1, int(requests_max * share)))

    @contextmanager
    def arrive(self, address: str = "") -> Iterator[Hold]:
        """Count one request whose body is still to come, for as long as the context lasts.

        Raises:
            Refusal: ``busy`` where too many are arriving, or so many open that it would be refused
                once it is complete.
        """
        if not self.open.fits(address):
            raise _too_many()
        hold = Hold(self, address)
        hold.arrive()
        try:
            yield hold
        finally:
            hold.free()

    @contextmanager
    def enter(self, address: str = "") -> Iterator[Hold]:
        """Count one open request for as long as the context lasts.

        Raises:
            Refusal: ``busy`` where too many are open.
        """
        hold = Hold(self, address)
        hold.complete()
        try:
            yield hold
        finally:
            hold.free()


def _too_many() -> Refusal:
    return Refusal(ErrorCode.BUSY, "too many requests are open here", retry_after=RETRY_SECONDS)
