"""Whether a Redis or Valkey server is one that a node can work with; for the operator's questions.

Asks and changes nothing. A server that does not say (a user without rights to ask) is taken as fit.
"""

from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ResponseError

from replicator.adapters.redis.connection import connect, is_passing, translated

NEEDED: Final = ("BLMPOP",)
"""Commands that a node cannot do without; this one came with Redis 7, every Valkey has it."""


@dataclass(frozen=True, slots=True)
class Fitness:
    """What a server is (``Valkey 9.1.2``), what it lacks, whether it drops keys when it is full."""

    name: str
    lacks: tuple[str, ...] = ()
    evicts: bool = False


def examine(url: str) -> Fitness:
    """Ask a server what it is.

    Raises:
        WorkUnavailable: it does not answer, or does not let us in.
        ConfigurationError: the URL is none.
    """
    client = connect(url)
    try:
        with translated():
            return _fitness(client)
    except ResponseError as error:
        if is_passing(error):
            raise
        return Fitness("Redis or Valkey")
    finally:
        client.close()
        client.connection_pool.disconnect()


def _fitness(client: Any) -> Fitness:
    facts = client.info()
    name = f"Redis {facts.get('redis_version')}"
    if facts.get("valkey_version"):
        name = f"Valkey {facts['valkey_version']}"
    # redis-py's own reading of the answer takes no command that is missing
    client.set_response_callback("COMMAND", lambda answer, **_: answer)
    described = client.execute_command("COMMAND", "INFO", *NEEDED)
    pairs = zip(NEEDED, described, strict=True)
    lacks = tuple(command for command, known in pairs if known is None)
    evicts = bool(facts.get("maxmemory")) and facts.get("maxmemory_policy") != "noeviction"
    return Fitness(name, lacks, evicts)
