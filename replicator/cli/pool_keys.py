"""`replicator keys pool`: pool keys; who holds one is a member of the pool.

A private key leaves the node only by ``export``, into a file that the operator names.
"""

import re
from pathlib import Path
from typing import Any, Final

import click

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.pool_changes import leave_pool, replace_pool
from replicator.adapters.valkey import write_private
from replicator.cli.home import settings_of
from replicator.cli.key_rows import (
    Row,
    fitting,
    key_argument,
    owner_of,
    pool_rows,
    show_rows,
)
from replicator.cli.output import emit, json_option
from replicator.cli.pool_taking import is_taken, require_pool_key, require_room, take
from replicator.cli.pool_words import (
    emit_pool,
    tell_leaving,
    tell_membership,
    tell_pool,
    tell_succession,
)
from replicator.errors import ConfigurationError, Malformed
from replicator.protocol.ids import KeyText, parse_key
from replicator.protocol.signing import PrivateKey, fingerprint

_KEY_FILE_BYTES_MAX: Final = 16 * 1024
_GROUP: Final = re.compile(r"[0-9]{5}", re.ASCII)
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


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
@_yes
@json_option
@click.pass_obj
def pool_new(home: Path, *, yes: bool, as_json: bool) -> None:
    """Make a new pool with this node as its first member."""
    settings = settings_of(home)
    require_room(settings)
    key = PrivateKey.generate()
    tell_membership(key.public, pool_rows(owner_of(settings)), is_new=True)
    _ask(yes=yes)
    KeyFiles(settings.keys_folder).keep_pool_key(key, settings.passphrase)
    tell_pool(settings, key.public, as_json=as_json, changed=True)


@pool.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--passphrase", "protected", is_flag=True, help="Ask for the file's passphrase.")
@click.option("--replaces", metavar="OLDKEY", help="The pool whose place it takes.")
@_yes
@json_option
@click.pass_obj
def pool_import(
    home: Path, file: Any, *, protected: bool, replaces: str | None, yes: bool, as_json: bool
) -> None:
    """Join a pool with its key from FILE (PEM; - is standard input, with --yes).

    With --replaces the pool OLDKEY (its public key, or at least five digits of its fingerprint, in
    quotes where there are spaces) was rotated by another member, and this is its next key.
    """
    settings = settings_of(home)
    data = file.read(_KEY_FILE_BYTES_MAX + 1)
    if len(data) > _KEY_FILE_BYTES_MAX:
        raise ConfigurationError("this is no key file: it is too large")
    key = PrivateKey.from_pem(data, _asked(protected=protected))
    rows = pool_rows(owner_of(settings))
    old = None if replaces is None else _named(rows, replaces)
    require_pool_key(home, settings, key.public)
    if is_taken(settings, key.public, old):
        click.echo("this key is held already: nothing was changed", err=True)
        tell_pool(settings, key.public, as_json=as_json, changed=False)
        return
    if {key.public, old}.isdisjoint(row["key"] for row in rows):
        require_room(settings)
    if old is None:
        tell_membership(key.public, rows, is_new=False)
    else:
        tell_succession(old, key.public)
    _ask(yes=yes)
    take(settings, key, old)
    tell_pool(settings, key.public, as_json=as_json, changed=True)


@pool.command("rotate")
@key_argument
@_yes
@json_option
@click.pass_obj
def pool_rotate(home: Path, key: str, *, yes: bool, as_json: bool) -> None:
    """Give the pool KEY its next key, where the present one may have got into wrong hands.

    KEY is the pool's public key, or its fingerprint or at least five digits of that. Every other
    member takes the new key with keys pool import FILE --replaces KEY. A pool that was rotated
    stays as it is.
    """
    settings = settings_of(home)
    row = fitting(pool_rows(owner_of(settings)), key)
    if row["heir"] is not None:
        click.echo("this pool was replaced already: nothing was changed", err=True)
        tell_pool(settings, row["heir"], as_json=as_json, changed=False)
        return
    heir = PrivateKey.generate()
    old = parse_key(row["key"])
    tell_succession(old, heir.public)
    click.echo(
        "Hand the new key to every other member (`keys pool export` here, there `keys pool import\n"
        f"FILE --replaces {old}`), by a way\nthat the holder of the old one cannot read.",
        err=True,
    )
    _ask(yes=yes)
    replace_pool(KeyFiles(settings.keys_folder), old, heir, settings.passphrase)
    tell_pool(settings, heir.public, as_json=as_json, changed=True)


@pool.command("leave")
@key_argument
@_yes
@json_option
@click.pass_obj
def pool_leave(home: Path, key: str, *, yes: bool, as_json: bool) -> None:
    """Leave the pool KEY.

    KEY is the pool's public key, or its fingerprint or at least five digits of that. A pool that
    this node is not in, named by its public key, is left already.
    """
    settings = settings_of(home)
    rows = pool_rows(owner_of(settings))
    wanted = _named(rows, key)
    row = next((row for row in rows if row["key"] == wanted), None)
    if row is None:
        click.echo(f"this node is in no pool {wanted}: nothing was changed", err=True)
        if as_json:
            emit_pool(settings, wanted, changed=False)
        return
    tell_leaving(row, rows)
    _ask(yes=yes)
    leave_pool(KeyFiles(settings.keys_folder), wanted, settings.passphrase)
    if as_json:
        emit_pool(settings, wanted, changed=True)
    else:
        click.echo(f"left pool {row['fingerprint']}  {wanted}")
    click.echo("restart the node now: processes that run are members until then", err=True)


@pool.command("export")
@key_argument
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--passphrase", "protected", is_flag=True, help="Ask for one to protect the file.")
@json_option
@click.pass_obj
def pool_export(home: Path, key: str, file: Path, *, protected: bool, as_json: bool) -> None:
    """Write the private key of pool KEY into FILE (PEM, mode 0600), for another member.

    KEY is the pool's public key, or its fingerprint or at least five digits of that, as keys list
    shows them. Whoever has this file can act as a member of the pool: hand it on by a safe way, and
    remove it.
    """
    settings = settings_of(home)
    if _GROUP.fullmatch(str(file)):
        raise click.UsageError(f"FILE is missing; a file of that name is ./{file}")
    wanted = parse_key(fitting(pool_rows(owner_of(settings)), key)["key"])
    if file.exists():
        raise ConfigurationError(f"{file} is there already")
    if not file.parent.is_dir():
        raise ConfigurationError(f"there is no folder {file.parent}: nothing was written")
    passphrase = _asked(protected=protected, confirm=True)
    pem = KeyFiles(settings.keys_folder).export_pool_key(
        wanted, settings.passphrase, pem_passphrase=passphrase
    )
    write_private(file, pem.decode("ascii"))
    if as_json:
        emit({"key": wanted, "fingerprint": fingerprint(wanted), "file": str(file)})
    else:
        click.echo(f"wrote the private key of pool {fingerprint(wanted)} to {file}")


def _ask(*, yes: bool) -> None:
    if not yes:
        click.confirm("Go on?", abort=True, err=True)


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
