"""`replicator keys pool`: pool keys; who holds one is a member of the pool.

A private key leaves the node only by ``export``, into a file that the operator names.
"""

from pathlib import Path
from typing import Any

import click

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.pool_changes import leave_pool, replace_pool
from replicator.adapters.valkey import write_private
from replicator.cli.home import settings_of
from replicator.cli.key_rows import (
    Row,
    fitting,
    fitting_rows,
    node_rows,
    owner_of,
    pool_rows,
    show_rows,
)
from replicator.cli.output import emit, json_option
from replicator.errors import ConfigurationError, Malformed
from replicator.protocol.ids import KeyText, parse_key
from replicator.protocol.signing import PrivateKey, fingerprint
from replicator.rules.key_life import check_signers
from replicator.settings import Settings

_KEY_FILE_BYTES_MAX = 16 * 1024


@click.group()
def pool() -> None:
    """Make, take in, hand on, replace and leave pools."""


@pool.command("list")
@json_option
@click.pass_obj
def pool_list(home: Path, *, as_json: bool) -> None:
    """List the pools of this node; a retired one was replaced and signs nothing more."""
    rows = pool_rows(owner_of(settings_of(home)))
    if as_json:
        emit(rows)
    else:
        show_rows(rows)


@pool.command("new")
@click.pass_obj
def pool_new(home: Path) -> None:
    """Make a new pool with this node as its first member."""
    settings = settings_of(home)
    _require_room(settings)
    _tell_pool(KeyFiles(settings.keys_folder).create_pool_key(settings.passphrase))


@pool.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--passphrase", "protected", is_flag=True, help="Ask for the file's passphrase.")
@click.option("--replaces", metavar="OLDKEY", help="The pool whose place it takes.")
@click.option("--yes", is_flag=True, help="Do not ask (only --replaces does).")
@click.pass_obj
def pool_import(home: Path, file: Any, *, protected: bool, replaces: str | None, yes: bool) -> None:
    """Join a pool with its key from FILE (PEM; - is standard input).

    With --replaces the pool OLDKEY (its public key, or the beginning of its fingerprint) was
    rotated by another member, and this is its next key.
    """
    settings = settings_of(home)
    data = file.read(_KEY_FILE_BYTES_MAX + 1)
    if len(data) > _KEY_FILE_BYTES_MAX:
        raise ConfigurationError("this is no key file: it is too large")
    key = PrivateKey.from_pem(data, _asked(protected=protected))
    files = KeyFiles(settings.keys_folder)
    rows = pool_rows(owner_of(settings))
    old = None if replaces is None else _named(rows, replaces)
    if {key.public, old}.isdisjoint(row["key"] for row in rows):
        _require_room(settings)
    if old is None:
        _tell_pool(files.keep_pool_key(key, settings.passphrase))
        return
    _tell_succession(old, key.public)
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
    replace_pool(files, old, key, settings.passphrase)
    _tell_pool(key)


@pool.command("rotate")
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def pool_rotate(home: Path, key: str, *, yes: bool) -> None:
    """Give the pool KEY its next key, where the present one may have got into wrong hands.

    KEY is the pool's public key or the beginning of its fingerprint. Every other member takes the
    new key with keys pool import FILE --replaces KEY. A pool that was rotated stays as it is.
    """
    settings = settings_of(home)
    row = fitting(pool_rows(owner_of(settings)), key)
    if row["heir"] is not None:
        click.echo("this pool was replaced already: nothing was changed", err=True)
        click.echo(f"pool {fingerprint(row['heir'])}  {row['heir']}")
        return
    heir = PrivateKey.generate()
    old = parse_key(row["key"])
    _tell_succession(old, heir.public)
    click.echo(
        "Hand the new key to every other member (`keys pool export` here, there `keys pool import\n"
        f"FILE --replaces {old}`), by a way\nthat the holder of the old one cannot read.",
        err=True,
    )
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
    replace_pool(KeyFiles(settings.keys_folder), old, heir, settings.passphrase)
    _tell_pool(heir)


@pool.command("leave")
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def pool_leave(home: Path, key: str, *, yes: bool) -> None:
    """Leave the pool KEY: its public key or the beginning of its fingerprint.

    A pool that this node is not in is left already.
    """
    settings = settings_of(home)
    rows = pool_rows(owner_of(settings))
    if not fitting_rows(rows, key):
        click.echo(f"this node is in no pool {key}: nothing was changed", err=True)
        return
    row = fitting(rows, key)
    click.echo(
        f"This node will leave the pool {row['fingerprint']}  {row['key']}\n"
        "and remove its private key (and those of pools that it replaced). The node signs for it\n"
        "no more, takes no post that only this pool vouches for, and serves nobody in it. Posts\n"
        "it holds stay here, and what it published stays with the members. Coming back takes the\n"
        "key from another member: keep a copy (`keys pool export`) if there is none.",
        err=True,
    )
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
    leave_pool(KeyFiles(settings.keys_folder), parse_key(row["key"]), settings.passphrase)
    click.echo(f"left pool {row['fingerprint']}  {row['key']}")
    click.echo("restart the node now: processes that run are members until then", err=True)


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
    wanted = parse_key(fitting(pool_rows(owner_of(settings)), key)["key"])
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


def _named(rows: list[Row], key: str) -> KeyText:
    """Return the pool that ``key`` names; one that is not here, by its public key only."""
    try:
        return parse_key(key)
    except Malformed:
        return parse_key(fitting(rows, key)["key"])


def _require_room(settings: Settings) -> None:
    """Refuse a pool that would leave too many keys to sign with, before the node does at start."""
    owner = owner_of(settings)
    signing = sum(1 for row in node_rows(owner) if row["state"] == "current")
    pools = sum(1 for row in pool_rows(owner) if row["state"] == "current")
    check_signers(signing, pools + 1, settings.limits)


def _tell_succession(old: KeyText, heir: KeyText) -> None:
    click.echo(
        f"The pool       {fingerprint(old)}  {old}\n"
        f"is replaced by {fingerprint(heir)}  {heir}\n"
        "The new key signs, the old one signs nothing more. A post that only the old one signed\n"
        "counts when a member with the new key brings it. This node and a member that has not\n"
        "taken the new key share nothing meanwhile, and lose nothing: they catch up afterwards.",
        err=True,
    )


def _tell_pool(key: PrivateKey) -> None:
    click.echo(f"pool {fingerprint(key.public)}  {key.public}")
    click.echo("restart the node to use it", err=True)
