"""`replicator keys`: node keys, and what protects all key files.

Public halves and fingerprints are shown; a private key leaves the node only by ``keys pool
export``, into a file that the operator names. Each change says what will happen, and asks, before
it happens.
"""

import re
from pathlib import Path
from typing import Any

import click

from replicator.adapters.clock import SystemClock
from replicator.adapters.key_changes import (
    Rotation,
    prepare_rotation,
    revoke,
    rotate,
)
from replicator.cli.home import settings_of
from replicator.cli.key_passphrase import passphrase
from replicator.cli.key_rows import (
    Row,
    fitting,
    key_argument,
    node_rows,
    owner_of,
    pool_rows,
    show_rows,
)
from replicator.cli.output import emit, iso, json_option
from replicator.cli.pool_keys import pool
from replicator.protocol.announcement import current_keys
from replicator.protocol.ids import parse_key
from replicator.protocol.signing import fingerprint
from replicator.rules import key_life
from replicator.settings import Settings

_OVERLAP = "14d"
_UNITS_MS = {"s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_LENGTH = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|min|h|d|)", re.ASCII)


class _Overlap(click.ParamType[int]):
    """A length of time like ``14d``, ``12h``, ``30min`` or ``45s`` (alone: days), in ms."""

    name = "overlap"

    def convert(self, value: object, param: Any, ctx: click.Context | None) -> int:
        """Return ms; fail on what is no length of time."""
        if isinstance(value, int):
            return value
        found = _LENGTH.fullmatch(str(value))
        if found is None:
            self.fail(f"{value} is no length of time like 14d, 12h, 30min or 45s", param, ctx)
        return int(float(found[1]) * _UNITS_MS[found[2] or "d"])


@click.group()
def keys() -> None:
    """Show, make and take back node keys and pool keys."""


for command in (pool, passphrase):
    keys.add_command(command)


@keys.command("list")
@json_option
@click.pass_obj
def list_keys(home: Path, *, as_json: bool) -> None:
    """List the keys of this node with their states and fingerprints.

    Current keys sign. A retired node key still counts for posts that it signed, a revoked one for
    nothing new; a retired pool key signs nothing more. Compare fingerprints by phone: whoever shows
    the same one has the same key.
    """
    rows = _rows(settings_of(home))
    if as_json:
        emit(rows)
    else:
        show_rows(rows)


@keys.command("show")
@key_argument
@json_option
@click.pass_obj
def show(home: Path, key: str, *, as_json: bool) -> None:
    """Show one KEY of this node: a public key, or a fingerprint or at least five digits of it."""
    row = fitting(_rows(settings_of(home)), key)
    if as_json:
        emit(row)
        return
    for name, value in row.items():
        text = iso(value) if name == "until" and value is not None else value
        click.echo(f"{name + ':':13}{'-' if text is None else text}")


@keys.command("rotate")
@click.option(
    "--overlap",
    "overlap_ms",
    type=_Overlap(),
    default=_OVERLAP,
    show_default=True,
    metavar="TIME",
    help="How long the present key goes on signing beside the new one: 14d, 12h, 30min, 45s.",
)
@click.option("--again", is_flag=True, help="Also where a rotation is under way.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def rotate_key(home: Path, *, overlap_ms: int, again: bool, yes: bool, as_json: bool) -> None:
    """Make the next node key, introduced by the present one.

    Both sign during the overlap, so that peers learn of the new key from a key they know. While it
    lasts, the same command again changes nothing (unless --again).
    """
    settings = settings_of(home)
    owner = owner_of(settings)
    now = SystemClock().now()
    rotation = prepare_rotation(owner)
    if key_life.is_rotating(rotation.before, now) and not again:
        click.echo("a rotation is under way: nothing was changed (see --again)", err=True)
        _tell(node_rows(owner), as_json=as_json, changed=False)
        return
    longest_ms = int(settings.limits.key_overlap_seconds_max * 1000)
    if overlap_ms > longest_ms:
        days = longest_ms // _UNITS_MS["d"]
        raise click.UsageError(f"peers take no overlap of more than {days} days")
    signing = len(current_keys(rotation.before.keys, now)) if overlap_ms else 0
    pools = owner.files.load(owner.passphrase).pools
    key_life.check_signers(signing + 1, len(pools), settings.limits)
    _tell_rotation(rotation, now, overlap_ms, settings.limits.node_keys_max)
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
    keys_max = settings.limits.node_keys_max
    rotate(owner, rotation, now=now, overlap_ms=overlap_ms, keys_max=keys_max)
    _tell(node_rows(owner), as_json=as_json, changed=True)


@keys.command("revoke")
@key_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def revoke_key(home: Path, key: str, *, yes: bool, as_json: bool) -> None:
    """Take back a node KEY that others may have: nothing new counts that it signs.

    KEY is a public key, or its fingerprint or at least five digits of that. The last key that goes
    on signing cannot be revoked: rotate first.
    """
    owner = owner_of(settings_of(home))
    now = SystemClock().now()
    row = fitting(node_rows(owner), key)
    if row["state"] == "revoked":
        click.echo("it is revoked already: nothing was changed", err=True)
        _tell(node_rows(owner), as_json=as_json, changed=False)
        return
    wanted = parse_key(row["key"])
    after = key_life.revoked(owner.standing(), wanted, now)  # says at once where it cannot be
    remaining = [entry.key for entry in after.keys if entry.state == "current"]
    click.echo(
        f"The node key   {row['fingerprint']}  {wanted}\n"
        "will count for nothing new. Posts that it alone signed stay where they are held; nodes\n"
        "that do not hold them will refuse them. It cannot be made current again.\n"
        "What signs from then on:",
        err=True,
    )
    for other in remaining:
        click.echo(f"               {fingerprint(other)}  {other}", err=True)
    click.echo(
        "Peers learn of it from this node's document, when they next read it: at once where they\n"
        "are told of it by roster, else when this node's messages lack the key. Whoever has the\n"
        "stolen key can act as this node with a peer until then: call the operators of peers that\n"
        "matter (`peers trust` there). Restart this node: its processes sign with it until then.",
        err=True,
    )
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
    revoke(owner, wanted, now)
    _tell(node_rows(owner), as_json=as_json, changed=True)


def _tell_rotation(rotation: Rotation, now: int, overlap_ms: int, keys_max: int) -> None:
    fresh = rotation.fresh.public
    after = key_life.rotated(rotation.before, fresh, now, overlap_ms, keys_max)
    current = current_keys(rotation.before.keys, now)
    for entry in rotation.before.keys:
        if entry.key in current:
            click.echo(f"The node key   {fingerprint(entry.key)}  {entry.key}", err=True)
    end = iso(now + overlap_ms)
    click.echo(f"gets beside it {fingerprint(fresh)}  {fresh}", err=True)
    if overlap_ms:
        click.echo(
            f"Until {end} both sign every message, answer and post, so every peer\n"
            "goes on taking them. Peers read this node's document, which both sign, when they see\n"
            "the new key in a message, or get it by roster within some ten minutes. From then on\n"
            "only the new key signs; the old one counts for the posts it signed.",
            err=True,
        )
    else:
        click.echo(
            "Without an overlap the old key signs nothing more: peers see another key until they\n"
            "have read this node's document, which the old key signs too.",
            err=True,
        )
    click.echo(
        "A peer that was away for the whole overlap sees a changed key; where it cannot follow,\n"
        "its operator compares the fingerprint above and runs `peers trust`.\n"
        "Restart this node: processes that run now go on with the old key alone.",
        err=True,
    )
    listed = {entry.key for entry in after.keys}
    for entry in rotation.before.keys:
        if entry.key not in listed:
            click.echo(
                f"The list is full: {fingerprint(entry.key)} is left out, and posts that it alone\n"
                "signed are refused by nodes that meet this one later.",
                err=True,
            )


def _tell(rows: list[Row], *, as_json: bool, changed: bool) -> None:
    if as_json:
        emit({"changed": changed, "keys": rows})
    else:
        show_rows(rows)
    if changed:
        click.echo("restart the node now", err=True)


def _rows(settings: Settings) -> list[Row]:
    owner = owner_of(settings)
    return [*node_rows(owner), *pool_rows(owner)]
