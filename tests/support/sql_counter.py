"""How much a piece of code reads from databases: rows that were fetched, and SQLite's own steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

_STEPS = 1_000


@dataclass
class Read:
    """What was read on connections that were opened while counting.

    Args:
        rows: fetched from any database.
        steps: of SQLite's virtual machine, in thousands; a row that is looked at costs several,
            also where it is summed up inside the database.
    """

    rows: int = 0
    steps: int = 0

    def reset(self) -> None:
        """Begin anew."""
        self.rows = self.steps = 0


@contextmanager
def counting() -> Iterator[Read]:
    """Count what is read on every connection that is opened from now on."""
    read = Read()

    def step() -> int:
        read.steps += 1
        return 0

    def of_sqlite(_: Any, row: Any) -> Any:
        read.rows += 1
        return row

    def connected(connection: Any, _: Any) -> None:
        if hasattr(connection, "set_progress_handler"):
            connection.row_factory = of_sqlite
            connection.set_progress_handler(step, _STEPS)
        else:
            connection.row_factory = _counting_rows(read, connection.row_factory)

    event.listen(Pool, "connect", connected)
    try:
        yield read
    finally:
        event.remove(Pool, "connect", connected)


def _counting_rows(read: Read, factory: Any) -> Any:
    """Return a row factory of psycopg that counts and does what ``factory`` does."""

    def made(cursor: Any) -> Any:
        make = factory(cursor)

        def row(values: Any) -> Any:
            read.rows += 1
            return make(values)

        return row

    return made
