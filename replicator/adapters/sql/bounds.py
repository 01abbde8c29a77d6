"""Bounds of database connections, and the mark of a transaction that writes. Pure data."""

from typing import Final

BUSY_SECONDS: Final = 15
"""How long a writer waits for another one: many batches long, below a request's deadline."""
CONNECTIONS_MAX: Final = 32
"""Connections of one process: more than its threads; a bound, not a size."""
WRITES: Final = "replicator_writes"
"""The execution option of a connection whose transaction is to be alone."""
