"""Connections to Redis or Valkey for the work state, and the translation of their errors.

No command is sent twice: redis-py retries by default, and a write that timed out may have been
done. A caller that gets `WorkUnavailable` decides by itself. Every wait has a time-out. Nothing
connects before its first command.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from replicator.errors import ConfigurationError, WorkUnavailable

CONNECT_SECONDS: Final = 3.0
COMMAND_SECONDS: Final = 5.0
"""Longest wait for an answer or a free connection; the largest batch takes about 10 ms."""
HEALTH_CHECK_SECONDS: Final = 30
"""A connection idle for longer is pinged before use: the server may be gone without a word."""
CONNECTIONS_MAX: Final = 32
"""Per process; more than its threads need. Callers wait for a free one."""

_NO_URL: Final = "work_url: it is none that redis-py understands: redis://host:port/number"
"""Says nothing of the URL, nor what redis-py says of it, which may quote a part of a password."""

_PASSING: Final = frozenset(
    ("OOM", "READONLY", "MISCONF", "MASTERDOWN", "LOADING", "BUSY", "NOREPLICAS", "UNBLOCKED")
)
"""Codes of a server that is full, starting, stuck in a script, or changing its role."""


def connect(url: str) -> "redis.Redis":
    """Return a client for ``url`` that gives bytes; it connects when first used.

    Raises:
        ConfigurationError: the URL is none that redis-py understands.
    """
    try:
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_MAX,
            timeout=COMMAND_SECONDS,
            retry=Retry(NoBackoff(), 0),
            **_options(url, COMMAND_SECONDS),
        )
    except ValueError:
        raise ConfigurationError(_NO_URL) from None
    return redis.Redis(connection_pool=pool)


def connect_async(url: str) -> "redis.asyncio.Redis":
    """Return an asyncio client without time-outs of its own, except for connecting.

    Its caller sets them with ``asyncio.timeout``: redis-py's own go through ``asyncio.wait_for``,
    which before Python 3.12 swallows a cancellation that comes as the wait ends.
    """
    try:
        return redis.asyncio.Redis.from_url(
            url,
            max_connections=2,
            retry=AsyncRetry(NoBackoff(), 0),
            **_options(url, None),
        )
    except ValueError:
        raise ConfigurationError(_NO_URL) from None


def _options(url: str, command_seconds: float | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        # RESP2: scripts answer in it anyway, and the handshake is one message shorter
        "protocol": 2,
        "socket_timeout": command_seconds,
        "health_check_interval": HEALTH_CHECK_SECONDS,
    }
    if not url.startswith("unix:"):
        options |= {"socket_connect_timeout": CONNECT_SECONDS, "socket_keepalive": True}
    return options


def is_passing(error: RedisError) -> bool:
    """Tell whether an error is the server's state (away, full, read-only) and no bug of ours."""
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return True
    # redis-py cuts the code off where it has a class for it; Redis before 7 puts words of its
    # own before the code of an error inside a script
    code = getattr(error, "status_code", None)
    words = str(error).replace("-", " ").split()
    return isinstance(error, ResponseError) and not _PASSING.isdisjoint((code, *words))


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of an absent, full or read-only server into `WorkUnavailable`."""
    try:
        yield
    except RedisError as error:
        if not is_passing(error):
            raise
        raise WorkUnavailable(f"work state: {error}") from error
