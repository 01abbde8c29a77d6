"""What `replicator keys pool` says before it changes anything, and after."""

from collections.abc import Sequence

import click

from replicator.cli.key_rows import Row, owner_of, pool_rows
from replicator.cli.output import counted, emit
from replicator.protocol.ids import KeyText
from replicator.protocol.signing import fingerprint
from replicator.settings import Settings


def tell_membership(key: KeyText, rows: Sequence[Row], *, is_new: bool) -> None:
    """Say which pool this node will be a member of, and how many it is in."""
    number = sum(1 for row in rows if row["state"] == "current")
    already = f"in {counted(number, 'pool')} already" if number else "in no pool yet"
    click.echo(f"The {'new pool' if is_new else 'pool'}: {fingerprint(key)}  {key}", err=True)
    click.echo(f"This node becomes a member of it; it is {already}.", err=True)
    if not is_new:
        click.echo(
            "Whoever has this key may read here what is in the pool, and give posts. Compare the\n"
            "fingerprint by phone with the member that handed it on.",
            err=True,
        )


def tell_succession(old: KeyText, heir: KeyText) -> None:
    """Say what follows where a pool's key takes another's place."""
    click.echo(
        f"The pool       {fingerprint(old)}  {old}\n"
        f"is replaced by {fingerprint(heir)}  {heir}\n"
        "The new key signs, the old one signs nothing more. A post that only the old one signed\n"
        "counts when a member with the new key brings it. This node and a member that has not\n"
        "taken the new key share nothing meanwhile, and lose nothing: they catch up afterwards.",
        err=True,
    )


def tell_leaving(row: Row, rows: Sequence[Row]) -> None:
    """Say what follows where this node leaves a pool."""
    click.echo(
        f"This node will leave the pool {row['fingerprint']}  {row['key']}\n"
        "and remove its private key (and those of pools that it replaced). The node signs for it\n"
        "no more, takes no post that only this pool vouches for, and serves nobody in it. Posts\n"
        "it holds stay here, and what it published stays with the members. Coming back takes the\n"
        "key from another member: keep a copy (`keys pool export`) if there is none.",
        err=True,
    )
    if not any(one["state"] == "current" and one["key"] != row["key"] for one in rows):
        click.echo(
            "It is the LAST pool of this node: from then on it is in none and shares no posts.",
            err=True,
        )


def tell_pool(settings: Settings, key: KeyText, *, as_json: bool, changed: bool) -> None:
    """Print the pool that a command made, took or found."""
    if as_json:
        emit_pool(settings, key, changed=changed)
    else:
        click.echo(f"pool {fingerprint(key)}  {key}")
    if changed:
        click.echo("restart the node to use it", err=True)


def emit_pool(settings: Settings, key: KeyText, *, changed: bool) -> None:
    """Print for programs the pool that a command was about, and all that this node is in now."""
    pools = pool_rows(owner_of(settings))
    emit({"changed": changed, "key": key, "fingerprint": fingerprint(key), "pools": pools})
