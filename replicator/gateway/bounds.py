"""What keeps the gateway's memory and work bounded: rates, and requests in flight.

Pure: time is an argument, in seconds of a clock that never goes back. The objects belong to one
event loop and are not meant for threads.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from replicator.errors import ErrorCode, Refusal

RETRY_SECONDS = 1
"""What a refusal for want of room tells the asker: room comes back within a second or two."""


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


class Hold:
    """One request's share of what is in flight; made by `InFlight.enter`."""

    def __init__(self, in_flight: "InFlight") -> None:
        self._in_flight = in_flight
        self.size = 0

    def grow(self, size: int) -> None:
        """Take ``size`` more bytes; raise `Refusal` ``busy`` where there is no room for them."""
        if self._in_flight.size + size > self._in_flight.bytes_max:
            raise Refusal(ErrorCode.BUSY, "too much is in flight here", retry_after=RETRY_SECONDS)
        self.size += size
        self._in_flight.size += size


class InFlight:
    """Counts requests and their bytes; what is entered is given back whatever happens."""

    def __init__(self, requests_max: int, bytes_max: int) -> None:
        self.requests_max = requests_max
        self.bytes_max = bytes_max
        self.requests = 0
        self.size = 0

    @contextmanager
    def enter(self) -> Iterator[Hold]:
        """Count one request for as long as the context lasts.

        Raises:
            Refusal: ``busy`` where too many are open.
        """
        if self.requests >= self.requests_max:
            raise Refusal(
                ErrorCode.BUSY, "too many requests are open here", retry_after=RETRY_SECONDS
            )
        self.requests += 1
        hold = Hold(self)
        try:
            yield hold
        finally:
            self.requests -= 1
            self.size -= hold.size
