"""Whether there is room for another post: by the quota that was set, and on SQLite's disk.

SQLite gives pages that posts leave back to later ones, not to the file system: what counts is pages
in use, and the file shrinks where an operator runs ``VACUUM``. PostgreSQL has no cheap number that
falls when rows go, so that there the posts are counted: their canonical bytes and, for each, what
its rows and indexes take besides. Real ends of a disk are told by the database (`engine`).
"""

import os
from pathlib import Path
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.engine import URL

from replicator.adapters.sql.bulk import rows_of
from replicator.errors import StoreFull

_POST_OVERHEAD_BYTES: Final = 1_024
"""Besides its content, of a post with two signatures, two tags and one pool: an estimate."""


class Room:
    """What a database may use.

    Args:
        url: of the database.
        quota_bytes: it may use as much; None: no bound.
        reserve_bytes: what is kept free on the disk of an SQLite file for all but posts.
    """

    def __init__(self, url: URL, quota_bytes: int | None, reserve_bytes: int) -> None:
        self._quota_bytes = quota_bytes
        self._reserve_bytes = reserve_bytes
        is_file = url.drivername == "sqlite" and url.database
        self._folder = Path(url.database or "").absolute().parent if is_file else None

    def require(self, connection: Connection) -> None:
        """Check that another batch of posts may come; raise `StoreFull`."""
        lack = self._lack(connection)
        if lack is not None:
            raise StoreFull(f"no room for another post: {lack}")

    def is_full(self, connection: Connection) -> bool:
        """Tell whether there is no room for another post."""
        return self._lack(connection) is not None

    def _lack(self, connection: Connection) -> str | None:
        if self._folder is not None:
            disk = os.statvfs(self._folder)
            if disk.f_bavail * disk.f_frsize < self._reserve_bytes:
                return "the disk is nearly full"
        if self._quota_bytes is not None and self._used(connection) >= self._quota_bytes:
            return "disk_bytes_max is used up"
        return None

    def _used(self, connection: Connection) -> int:
        if self._folder is not None:
            pages, free, size = (
                rows_of(connection, f"PRAGMA {name}")[0][0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size)
        ((posts, size),) = rows_of(connection, "SELECT sum(posts), sum(size) FROM origin")
        return int(size or 0) + int(posts or 0) * _POST_OVERHEAD_BYTES
