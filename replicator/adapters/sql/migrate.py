"""Making and changing the tables: Alembic, packaged here and run by code.

A migration runs in one transaction that is alone, as every write does, so that two processes that
start at once migrate once. Revisions are never edited after they were released.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from replicator.adapters.sql.engine import Database, parse_url
from replicator.errors import ConfigurationError

_SCRIPTS: Final = Path(__file__).with_name("migrations")


def migrate(url: str) -> list[str]:
    """Bring the database to the newest revision, creating a missing SQLite file.

    Returns:
        The revisions applied, oldest first; empty where nothing was to do.

    Raises:
        ConfigurationError: the URL is not ours, or the database is newer than this program.
        StoreUnavailable: it does not answer.
    """
    parsed = parse_url(url)
    if parsed.drivername == "sqlite" and parsed.database:
        Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    database = Database(url, migrates=True)
    try:
        with database.writing() as connection:
            before = _applied(connection)
            config = _config({"connection": connection})
            _require_known(before, config)
            command.upgrade(config, "head")
            return [revision for revision in _revisions(config) if revision not in before]
    finally:
        database.close()


def check_schema(url: str) -> None:
    """Check that the database has exactly the tables of this program.

    Raises:
        ConfigurationError: it is missing, empty, behind or ahead; says what to do.
        StoreUnavailable: it does not answer.
    """
    parsed = parse_url(url)
    if parsed.drivername == "sqlite" and not Path(parsed.database or "").is_file():
        raise ConfigurationError(
            f"there is no database at {parsed.database}: run `replicator migrate`"
        )
    database = Database(url, read_only=True)
    try:
        with database.reading() as connection:
            applied = _applied(connection)
    finally:
        database.close()
    config = _config({})
    _require_known(applied, config)
    if not applied:
        raise ConfigurationError("the database is empty: run `replicator migrate`")
    missing = [revision for revision in _revisions(config) if revision not in applied]
    if missing:
        raise ConfigurationError(
            f"the database lacks {', '.join(missing)}: make a backup and run `replicator migrate`"
        )


def _config(attributes: Mapping[str, Any]) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(attributes)
    return config


def _revisions(config: Config) -> list[str]:
    """All revisions, oldest first."""
    found = ScriptDirectory.from_config(config).walk_revisions()
    return [script.revision for script in found][::-1]


def _applied(connection: Connection) -> set[str]:
    """The revisions that the database has, by the one it names."""
    current = MigrationContext.configure(connection).get_current_heads()
    if not current:
        return set()
    revisions = _revisions(_config({}))
    if current[0] not in revisions:
        return {current[0]}
    return set(revisions[: revisions.index(current[0]) + 1])


def _require_known(applied: set[str], config: Config) -> None:
    ahead = applied - set(_revisions(config))
    if ahead:
        raise ConfigurationError(
            f"the database is at revision {', '.join(sorted(ahead))}, which this program does not "
            "know: install the version of replicator that made it, or a newer one"
        )
