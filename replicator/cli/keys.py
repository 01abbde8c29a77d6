"""`replicator keys`: node keys and pool keys.

Public halves and fingerprints are shown; a private key leaves the node only by ``keys pool
export``, into a file that the operator names.
"""

from pathlib import Path
from typing import Any

import click

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.valkey import write_private
from replicator.cli.home import settings_of
from replicator.cli.output import emit, json_option, table
from replicator.errors import ConfigurationError
from replicator.protocol.ids import parse_key
from replicator.protocol.signing import PrivateKey, fingerprint
from replicator.settings import Settings

_KEY_FILE_BYTES_MAX = 16 * 1024


@click.group()
def keys() -> None:
    """Show and make node keys and pool keys."""


@keys.command("list")
@json_option
@click.pass_obj
def list_keys(home: Path, *, as_json: bool) -> None:
    """List the keys of this node with their fingerprints.

    The first node key signs; the others still verify what they signed. Compare fingerprints by
    phone: whoever shows the same one has the same key.
    """
    rows = _rows(settings_of(home))
    if as_json:
        emit(rows)
        return
    table(
        ("KIND", "FINGERPRINT", "KEY"),
        ((row["kind"], row["fingerprint"], row["key"]) for row in rows),
    )


@keys.command("show")
@click.argument("key")
@json_option
@click.pass_obj
def show(home: Path, key: str, *, as_json: bool) -> None:
    """Show one KEY of this node: a public key or the beginning of a fingerprint."""
    row = _fitting(_rows(settings_of(home)), key)
    if as_json:
        emit(row)
        return
    for name, value in row.items():
        click.echo(f"{name + ':':13}{value}")


@keys.command("new")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def new(home: Path, *, yes: bool) -> None:
    """Make another node key.

    Peers pin the keys of a node: tell their operators, who then call peers trust.
    """
    settings = settings_of(home)
    if not yes:
        click.confirm("Peers do not know the new key yet. Go on?", abort=True, err=True)
    key = KeyFiles(settings.keys_folder).create_node_key(settings.passphrase)
    click.echo(f"node key {fingerprint(key.public)}  {key.public}")


@keys.group("pool")
def pool() -> None:
    """Make, take in and hand on pool keys: who holds one is a member of the pool."""


@pool.command("new")
@click.pass_obj
def pool_new(home: Path) -> None:
    """Make a new pool with this node as its first member."""
    settings = settings_of(home)
    _tell_pool(KeyFiles(settings.keys_folder).create_pool_key(settings.passphrase))


@pool.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--passphrase", "protected", is_flag=True, help="Ask for the file's passphrase.")
@click.pass_obj
def pool_import(home: Path, file: Any, *, protected: bool) -> None:
    """Join a pool with its key from FILE (PEM; - is standard input)."""
    settings = settings_of(home)
    data = file.read(_KEY_FILE_BYTES_MAX + 1)
    if len(data) > _KEY_FILE_BYTES_MAX:
        raise ConfigurationError("this is no key file: it is too large")
    key = KeyFiles(settings.keys_folder).import_pool_key(
        data, settings.passphrase, pem_passphrase=_asked(protected=protected)
    )
    _tell_pool(key)


@pool.command("export")
@click.argument("key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--passphrase", "protected", is_flag=True, help="Ask for one to protect the file.")
@click.pass_obj
def pool_export(home: Path, key: str, file: Path, *, protected: bool) -> None:
    """Write the private key of pool KEY into FILE (PEM, mode 0600), for another member.

    KEY is the pool's public key or the beginning of its fingerprint, as keys list shows them.
    Whoever has this file can act as a member of the pool: hand it on by a safe way, and remove it.
    """
    settings = settings_of(home)
    pools = [row for row in _rows(settings) if row["kind"] == "pool"]
    wanted = parse_key(_fitting(pools, key)["key"])
    if file.exists():
        raise ConfigurationError(f"{file} is there already")
    passphrase = _asked(protected=protected, confirm=True)
    pem = KeyFiles(settings.keys_folder).export_pool_key(
        wanted, settings.passphrase, pem_passphrase=passphrase
    )
    write_private(file, pem.decode("ascii"))
    click.echo(f"wrote the private key of pool {fingerprint(wanted)} to {file}")


def _asked(*, protected: bool, confirm: bool = False) -> bytes | None:
    """Ask for a passphrase: on a command line every user of the machine could read it."""
    if not protected:
        return None
    text: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return text.encode("utf-8")


def _tell_pool(key: PrivateKey) -> None:
    click.echo(f"pool {fingerprint(key.public)}  {key.public}")
    click.echo("restart the node to use it", err=True)


def _fitting(rows: list[dict[str, str]], key: str) -> dict[str, str]:
    """Return the one row that ``key`` names: a public key or the beginning of a fingerprint."""
    fitting = [row for row in rows if row["key"] == key or row["fingerprint"].startswith(key)]
    if len(fitting) != 1:
        raise ConfigurationError(
            f"{len(fitting)} of these keys fit {key}; see: replicator keys list"
        )
    return fitting[0]


def _rows(settings: Settings) -> list[dict[str, str]]:
    held = KeyFiles(settings.keys_folder).load(settings.passphrase)
    return [
        {"kind": kind, "fingerprint": fingerprint(key.public), "key": key.public}
        for kind, some in (("node", held.node), ("pool", held.pools))
        for key in some
    ]
