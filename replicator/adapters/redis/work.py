"""`WorkState` on Redis or Valkey: one connection pool, one key prefix, one script per operation.

Invariants: every write is one atomic command or script; every key has an expiry or a bound
(`keys`); `now` is always the caller's, the server's clock only collects garbage; a flush between
any two calls leaves a state from which all goes on. Nothing here decides: that is the use cases'.
"""

from replicator.adapters.redis.fetch_queue import FetchWork
from replicator.adapters.redis.keys import Keys
from replicator.adapters.redis.lanes import LaneWork
from replicator.adapters.redis.looks import KeyLookWork
from replicator.adapters.redis.malformed import MalformedEntries
from replicator.adapters.redis.peers import PeerWork
from replicator.adapters.redis.rates import QuotaWork
from replicator.adapters.redis.requests import RequestWork
from replicator.adapters.redis.server import Server
from replicator.limits import Limits


class RedisWorkState(
    RequestWork, QuotaWork, FetchWork, LaneWork, PeerWork, KeyLookWork, MalformedEntries
):
    """The work in hand of one node; safe to share between threads, and before a fork.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; may hold a password, which is not shown.
        prefix: ``replicator:{node_id}:``; no other node may use it.
        limits: the node's bounds.

    Raises:
        ConfigurationError: the URL cannot be used. No connection is made before the first call.
    """

    def __init__(self, url: str, prefix: str, limits: Limits) -> None:
        self._server = Server(url)
        self._keys = Keys(prefix)
        self._limits = limits

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        self._server.close()
