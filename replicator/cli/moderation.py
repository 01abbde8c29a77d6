"""`replicator posts block`, `unblock` and `blocks`: what the operator does not want here.

Each verb shows first what will happen, asks, and may be repeated.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import click

from replicator.cli.output import counted, emit, iso, json_option, printable, table
from replicator.cli.session import opened_node
from replicator.errors import ConfigurationError, Malformed
from replicator.node import moderation
from replicator.node.ports import BlockName
from replicator.protocol.ids import NodeId

_LINE_CHARS_MAX: Final = 1_000
_LINES_MAX: Final = 1_000_000
_SHOWN_MAX: Final = 10

_file = click.option(
    "--file",
    "files",
    multiple=True,
    type=click.File("r", encoding="utf-8", lazy=True),
    help="Read names from FILE, one a line (-: standard input, with --yes); # begins a comment.",
)
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("names", nargs=-1, metavar="[ID|DIGEST|node:NODE]...")
@_file
@click.option("--reason", default="", help="Why, for whoever reads the list later.")
@_yes
@json_option
@click.pass_obj
def block(
    home: Path,
    names: tuple[str, ...],
    files: tuple[IO[str], ...],
    reason: str,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove posts from this node and never take them again.

    A post is named by its NODE/ID (whatever its content), by its digest (that content), or with all
    posts of a node by node:NODE. They go at once, are not served, announced or fetched, and no
    comparison with a peer brings them back. Other nodes keep what they have. A board application
    that follows the changes is not told of removals: take them out there too.

    A blocked node may still be a peer, and what it passes on of others is still taken. `peers
    pause` does not change that: it stops this node's own calls alone. `peers forget` does where the
    other node shares no pool with this one; a member of a pool is kept out by another pool key
    alone (`keys pool rotate`).
    """
    wanted = _read(names, files)
    with opened_node(home) as node:
        standing = {one.name for one in node.store.blocks()}
        covered = node.store.covered(wanted)
        new = [name for name in wanted if name not in standing]
        _show_names("Block", wanted, standing, "blocked already")
        if BlockName("node", node.identity.node_id) in wanted:
            _warn_of_itself(node.identity.node_id)
        _tell_covered(covered.posts)
        _ask(yes=yes or not (new or covered.posts))
        done = moderation.block(node, wanted, reason)
    said = f"blocked {done.changed:,} of {len(wanted):,}; {counted(done.posts, 'post')} removed"
    _say(said, as_json=as_json, changed=done.changed, named=len(wanted), posts=done.posts)


@click.command()
@click.argument("names", nargs=-1, metavar="[ID|DIGEST|node:NODE]...")
@_file
@_yes
@json_option
@click.pass_obj
def unblock(
    home: Path, names: tuple[str, ...], files: tuple[IO[str], ...], *, yes: bool, as_json: bool
) -> None:
    """Take posts again, and look for them at the peers.

    What was removed is not kept anywhere here: it comes back from peers that hold it. A post of
    this node's own that no peer has is gone.
    """
    wanted = _read(names, files)
    with opened_node(home) as node:
        standing = {one.name for one in node.store.blocks()}
        covered = node.store.covered(wanted)
        stood = [name for name in wanted if name in standing]
        _show_names("Unblock", wanted, {*wanted} - standing, "not blocked")
        click.echo(
            f"{counted(covered.remembered, 'removed post')} will be looked for at the peers.",
            err=True,
        )
        _ask(yes=yes or not (stood or covered.remembered))
        done = moderation.unblock(node, wanted)
    said = (
        f"unblocked {done.changed:,} of {len(wanted):,}; {counted(done.posts, 'removed post')} "
        f"may come back, and the logs of {counted(done.backfills, 'peer')} are looked through"
    )
    _say(
        said,
        as_json=as_json,
        changed=done.changed,
        named=len(wanted),
        forgotten=done.posts,
        backfills=done.backfills,
    )


@click.command()
@json_option
@click.pass_obj
def blocks(home: Path, *, as_json: bool) -> None:
    """List what is blocked, since when and why."""
    with opened_node(home) as node:
        found = node.store.blocks()
    if as_json:
        emit(
            [
                {
                    "name": str(one.name),
                    "kind": one.name.kind,
                    "reason": one.reason,
                    "blocked_at": iso(one.blocked_at),
                    "removing": not one.done,
                }
                for one in found
            ]
        )
        return
    table(
        ("BLOCKED", "SINCE", "REASON"),
        ((str(one.name), iso(one.blocked_at), _words(one.reason, done=one.done)) for one in found),
    )


def _words(reason: str, *, done: bool) -> str:
    text = printable(reason, 80) or "-"
    return text if done else f"{text} (posts of it are being removed)"


def _read(names: Sequence[str], files: Sequence[IO[str]]) -> list[BlockName]:
    """Return all names, each once; where any is bad, name all of them (up to ten) and do nothing.

    Raises:
        ConfigurationError: with the place and fault of each.
    """
    found: dict[BlockName, None] = {}
    faults: list[str] = []
    for place, text in _texts(names, files):
        try:
            found[moderation.parse_name(text)] = None
        except Malformed as error:
            faults.append(f"{place}: {error}")
    if faults:
        more = [f"and {len(faults) - _SHOWN_MAX:,} more"] if len(faults) > _SHOWN_MAX else []
        raise ConfigurationError(f"nothing was done: {'; '.join([*faults[:_SHOWN_MAX], *more])}")
    if not found:
        raise ConfigurationError("nothing was named: give NODE/ID, a digest, node:NODE or --file")
    return list(found)


def _texts(names: Sequence[str], files: Sequence[IO[str]]) -> Iterator[tuple[str, str]]:
    """Yield (place, text) of arguments and of lines that are not empty."""
    for number, name in enumerate(names, 1):
        if name == "-":
            with click.open_file("-", encoding="utf-8") as stdin:
                yield from _lines("standard input", stdin)
        else:
            yield f"argument {number}", name
    for file in files:
        yield from _lines(getattr(file, "name", "file"), file)


def _lines(source: str, file: IO[str]) -> Iterator[tuple[str, str]]:
    number = 0
    try:
        while line := file.readline(_LINE_CHARS_MAX):
            number += 1
            if number > _LINES_MAX:
                raise ConfigurationError(f"{source}: more than {_LINES_MAX:,} lines")
            text = line.partition("#")[0].strip()
            if text:
                yield f"{source}, line {number}", text
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{source}: after line {number}: not UTF-8") from error


def _show_names(verb: str, names: Sequence[BlockName], marked: set[BlockName], mark: str) -> None:
    for name in names[:_SHOWN_MAX]:
        note = f" ({mark})" if name in marked else ""
        click.echo(f"{verb} {name}{note}", err=True)
    if len(names) > _SHOWN_MAX:
        click.echo(f"… and {len(names) - _SHOWN_MAX:,} more", err=True)


def _warn_of_itself(node_id: NodeId) -> None:
    click.echo(
        f"{node_id} is THIS NODE itself: all posts published here go, and nothing can be\n"
        "published here until it is unblocked.",
        err=True,
    )


def _tell_covered(posts: int) -> None:
    if posts:
        text = f"{counted(posts, 'post')} held here will be removed, and none of them taken again"
    else:
        text = (
            "No post held here is meant: nothing will be removed, and nothing that is meant taken"
        )
    click.echo(f"{text} until unblocked.", err=True)


def _ask(*, yes: bool) -> None:
    if not yes:
        click.confirm("Go on?", abort=True, err=True)


def _say(line: str, *, as_json: bool, **values: Any) -> None:
    if as_json:
        emit(values)
    else:
        click.echo(line)
