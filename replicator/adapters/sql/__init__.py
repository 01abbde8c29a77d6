"""The store in SQLite (the default) or PostgreSQL, and the migrations that make its tables."""

from replicator.adapters.sql.migrate import check_schema, migrate
from replicator.adapters.sql.store import SqlStore

__all__ = ["SqlStore", "check_schema", "migrate"]
