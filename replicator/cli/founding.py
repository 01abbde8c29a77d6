"""Making a node: its home, its settings, its keys, its token and its database.

`init` and the demo found nodes with the same code. Nothing that is there is ever overwritten.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.sql.migrate import migrate
from replicator.adapters.valkey import write_private
from replicator.cli.configuration import configuration
from replicator.errors import ConfigurationError, ReplicatorError
from replicator.protocol.ids import KeyText, NodeId
from replicator.rules.addresses import is_private_host
from replicator.settings import CONFIG_NAME, load_settings

TOKEN_FILE: Final = "local-token"  # noqa: S105  # a name, no token


def found(
    home: Path, node_id: NodeId, given: Mapping[str, str | int], environ: Mapping[str, str]
) -> KeyText:
    """Make a node in ``home``; return its first node key.

    Args:
        given: settings other than the defaults, as in `configuration`. A node whose own address
            is private is called by its neighbours only: it may call them, unless that is given.
        environ: where ``REPLICATOR_*`` variables are taken from (a passphrase, a database).

    Raises:
        ConfigurationError: there is a node already, or the settings do not fit; or only its
            database could not be made, and the message says how to go on.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (home / CONFIG_NAME).exists():
        raise ConfigurationError(f"there is a node in {home} already")
    _write_new(home / CONFIG_NAME, configuration(node_id, _with_reach(given)))
    try:
        settings = load_settings(home, environ)
        key = KeyFiles(settings.keys_folder).create_node_key(settings.passphrase)
    except ConfigurationError:
        (home / CONFIG_NAME).unlink()  # so that it can be tried again
        raise
    write_private(home / TOKEN_FILE, secrets.token_urlsafe(32) + "\n")
    try:
        migrate(settings.database_url)
    except ReplicatorError as error:
        raise ConfigurationError(
            f"{error}; all else of {node_id} is made: when that is mended, go on with "
            f"'replicator --home {home} migrate'"
        ) from error
    return key.public


def _with_reach(given: Mapping[str, str | int]) -> dict[str, str | int]:
    address = str(given.get("address", ""))
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        host = ""  # said when the settings are read
    return {"allow_private": True, **given} if is_private_host(host) else dict(given)


def _write_new(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
