"""The home of a node, made as ``replicator init`` makes it: settings, keys and an empty store."""

from collections.abc import Mapping
from pathlib import Path

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.sql.migrate import migrate
from replicator.settings import Settings, load_settings


def make_home(
    home: Path,
    node_id: str,
    work_url: str,
    *,
    broker_url: str | None = None,
    limits: Mapping[str, int | float] | None = None,
) -> Settings:
    """Make a node's home with one new node key and a migrated SQLite store.

    Args:
        home: a folder that need not exist.
        node_id: the node's id.
        work_url: Redis or Valkey for the work in hand, and for messages unless ``broker_url``.
        broker_url: another broker.
        limits: bounds that differ from the defaults.
    """
    (home / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [f'node_id = "{node_id}"', f'work_url = "{work_url}"', "allow_private = true"]
    if broker_url is not None:
        lines.append(f'broker_url = "{broker_url}"')
    lines.append("[limits]")
    lines += [f"{name} = {value}" for name, value in (limits or {}).items()]
    (home / "replicator.toml").write_text("\n".join(lines) + "\n")
    settings = load_settings(home, {})
    KeyFiles(settings.keys_folder).create_node_key()
    migrate(settings.database_url)
    return settings
