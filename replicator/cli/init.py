"""`replicator init` and `replicator migrate`: a new node, and its database's schema."""

import os
from pathlib import Path

import click

from replicator.adapters.sql.migrate import migrate as migrate_database
from replicator.cli.founding import found
from replicator.cli.home import settings_of
from replicator.cli.output import emit, json_option
from replicator.protocol.ids import parse_node_id
from replicator.protocol.signing import fingerprint


@click.command()
@click.argument("node_id")
@click.option("--address", help="URL at which peers reach this node.")
@click.option("--database-url", help="Default: SQLite in the home.")
@click.option("--gateway-listen", help="HOST:PORT of the listener for peers.")
@click.option("--local-listen", help="HOST:PORT of the listener for the board application.")
@json_option
@click.pass_obj
def init(home: Path, /, node_id: str, *, as_json: bool, **options: str | None) -> None:
    """Make the node NODE_ID in the home: settings, a node key, a token and the database.

    NODE_ID names the node for good, in lower case, like a host name: board1.example. It becomes
    part of the id of every post published here. Nothing that is there is overwritten.
    """
    name = parse_node_id(node_id)
    given: dict[str, str | int] = {
        key: value for key, value in options.items() if value is not None
    }
    key = found(home, name, given, os.environ)
    if as_json:
        emit({"home": str(home), "node_id": name, "key": key, "fingerprint": fingerprint(key)})
        return
    click.echo(f"{name} lives in {home}; its settings are in replicator.toml")
    click.echo(f"fingerprint of its key: {fingerprint(key)}")
    click.echo("next: replicator keys pool new (or import), then replicator up")


@click.command()
@json_option
@click.pass_obj
def migrate(home: Path, *, as_json: bool) -> None:
    """Bring the database to the schema of this version; safe to repeat.

    Stop the node first, and have a backup: there is no way back to an older schema.
    """
    applied = migrate_database(settings_of(home).database_url)
    if as_json:
        emit({"applied": applied})
        return
    click.echo(f"applied {', '.join(applied)}" if applied else "nothing to do")
