"""Bulk statements in the form each database is fastest at.

SQLite: ``executemany`` of tuples inside the driver. PostgreSQL: one statement whose parameters
are one binary array per column. Only this module knows the difference. SQL text is built of this
package's own constants, never of input.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final, Literal

from sqlalchemy import BigInteger, Boolean, Connection, Integer, LargeBinary, SmallInteger, Table
from sqlalchemy.types import TypeEngine

_CHUNK: Final = 512
"""Values in one SQLite statement; every build allows 999."""

Kind = Literal["bytea", "bigint", "text"]
"""What is compared, by PostgreSQL's name."""


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows; each has a value for every column of ``table``, in its order."""
    if not rows:
        return
    _execute_rows(connection, _insert_sql(table, connection.dialect.name), rows)


def put_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """As `insert_rows`; a row whose primary key is there already takes its place."""
    if rows:
        _execute_rows(connection, _put_sql(table, connection.dialect.name), rows)


def _execute_rows(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(statement, list(rows))
    else:
        connection.exec_driver_sql(
            statement, tuple([*column] for column in zip(*rows, strict=True))
        )


def rows_of(connection: Connection, statement: str, *parameters: Any) -> list[Any]:
    """Return the rows of a statement; its parameters are marked by ``?`` for both databases."""
    return list(connection.exec_driver_sql(_marked(connection, statement), parameters))


def execute(connection: Connection, statement: str, *parameters: Any) -> int:
    """Run a statement that writes, marked as for `rows_of`; return how many rows it changed."""
    return connection.exec_driver_sql(_marked(connection, statement), parameters).rowcount


def _marked(connection: Connection, statement: str) -> str:
    return statement if connection.dialect.name == "sqlite" else statement.replace("?", "%s")


def rows_among(
    connection: Connection, head: str, column: str, kind: Kind, values: Collection[Any]
) -> list[Any]:
    """Return the rows of ``head`` (``SELECT … FROM …``) whose ``column`` is one of ``values``."""
    found: list[Any] = []
    for condition, parameters in _conditions(connection, column, kind, values):
        result = connection.exec_driver_sql(f"{head} WHERE {condition}", parameters)
        found += result.fetchall()
    return found


def delete_among(
    connection: Connection, table: Table, column: str, kind: Kind, values: Collection[Any]
) -> None:
    """Delete the rows whose ``column`` is one of ``values``."""
    head = " ".join(("DELETE FROM", table.name))
    for condition, parameters in _conditions(connection, column, kind, values):
        connection.exec_driver_sql(f"{head} WHERE {condition}", parameters)


def _conditions(
    connection: Connection, column: str, kind: Kind, values: Collection[Any]
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    if not values:
        return
    if connection.dialect.name != "sqlite":
        yield f"{column} = ANY(%b::{kind}[])", ([*values],)
        return
    rest = iter(values)
    while part := tuple(islice(rest, _CHUNK)):
        part = padded(part)
        yield f"{column} IN ({','.join('?' * len(part))})", part


def padded(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return values, the last one repeated until their number is a power of two.

    SQLite's driver keeps the statements of every connection by their text, up to 30 kB each. With
    a text for every number of values the connections of one worker came to many megabytes.
    """
    size = 1 << (len(values) - 1).bit_length()
    return values + values[-1:] * (size - len(values))


@lru_cache(maxsize=64)
def _insert_sql(table: Table, dialect: str) -> str:
    names = ", ".join(column.name for column in table.columns)
    if dialect == "sqlite":
        marks = ", ".join("?" for _ in table.columns)
        return " ".join(("INSERT INTO", table.name, f"({names}) VALUES ({marks})"))
    arrays = ", ".join(f"%b::{_type_name(column.type)}[]" for column in table.columns)
    source = f"unnest({arrays})"
    return " ".join(("INSERT INTO", table.name, f"({names})", "SELECT * FROM", source))


@lru_cache(maxsize=64)
def _put_sql(table: Table, dialect: str) -> str:
    key = ", ".join(column.name for column in table.primary_key)
    rest = [column.name for column in table.columns if column not in {*table.primary_key}]
    changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return f"{_insert_sql(table, dialect)} ON CONFLICT ({key}) DO UPDATE SET {changes}"


def _type_name(type_: TypeEngine[Any]) -> str:
    for kind, name in (
        (LargeBinary, "bytea"),
        (Boolean, "boolean"),
        (SmallInteger, "smallint"),
        (BigInteger, "bigint"),
        (Integer, "integer"),
    ):
        if isinstance(type_, kind):
            return name
    return "text"
