"""The raw verbs `pull`, `get` and `put`: one signed request to a live peer, its verified answer.

They change nothing here: what a peer gives is printed, not stored. With ``--as-curl`` nothing is
sent: the command printed carries fresh signatures, good for one use within a minute.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from replicator.cli.filters import filter_of, filter_options
from replicator.cli.session import known_peer, opened_node
from replicator.errors import ConfigurationError
from replicator.node.context import Node
from replicator.node.conversation import call, prepare
from replicator.node.ports import Peer
from replicator.protocol import codec
from replicator.protocol.curl import as_curl as curl_command
from replicator.protocol.envelope import Signed
from replicator.protocol.ids import Digest, GlobalId, parse_digest, parse_global_id
from replicator.protocol.messages import Get, Pull, Put, Request

F = TypeVar("F", bound=Callable[..., Any])

_MEDIA_TYPES = {"json": codec.JSON, "xml": codec.XML}


def _call_options(command: F) -> F:
    form = click.option(
        "--format",
        "form",
        type=click.Choice(tuple(_MEDIA_TYPES)),
        default="json",
        show_default=True,
        help="Encoding of the request and of the answer.",
    )
    curl = click.option(
        "--as-curl", is_flag=True, help="Print a curl command, valid for one use within a minute."
    )
    return form(curl(command))


@click.command()
@click.argument("peer")
@filter_options
@click.option("--scope", help="Only posts of this pool (its key).")
@click.option("--after", help="Go on after this cursor.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), help="At most so many items.")
@click.option("--want", type=click.Choice(("refs", "models")), default="refs", show_default=True)
@_call_options
@click.pass_obj
def pull(home: Path, /, peer: str, form: str, *, as_curl: bool, **chosen: Any) -> None:
    """Ask PEER (a node id) which posts it holds, one page."""
    arguments = {"filter": filter_of(chosen), **chosen}
    try:
        request = msgspec.convert({"type": "pull", **arguments}, Pull)
    except msgspec.ValidationError as error:
        raise click.UsageError(f"the arguments are not allowed: {error}") from error
    _ask(home, peer, lambda node: request, form, as_curl=as_curl)


@click.command()
@click.argument("peer")
@click.argument("names", nargs=-1, required=True)
@_call_options
@click.pass_obj
def get(home: Path, peer: str, names: tuple[str, ...], form: str, *, as_curl: bool) -> None:
    """Ask PEER (a node id) for posts by NAMES: NODE/ID or digests."""
    ids, digests = _names(names)
    request = Get(ids=tuple(ids), digests=tuple(digests))
    _ask(home, peer, lambda node: request, form, as_curl=as_curl)


@click.command()
@click.argument("peer")
@click.argument("names", nargs=-1, required=True)
@click.option("--models", is_flag=True, help="Send the posts themselves, not only their refs.")
@_call_options
@click.pass_obj
def put(
    home: Path, peer: str, names: tuple[str, ...], form: str, *, models: bool, as_curl: bool
) -> None:
    """Advise PEER (a node id) to take posts of this node: NODE/ID or digests."""
    ids, digests = _names(names)

    def request(node: Node) -> Request:
        held = node.store.get(ids=ids, digests=digests)
        if len(held) < len(names):
            raise ConfigurationError(f"only {len(held)} of {len(names)} posts are held here")
        if models:
            return Put(models=tuple(codec.model_tree(post) for post in held))
        return Put(refs=tuple(post.ref for post in held))

    _ask(home, peer, request, form, as_curl=as_curl)


def _names(names: tuple[str, ...]) -> tuple[list[GlobalId], list[Digest]]:
    ids = [parse_global_id(name) for name in names if "/" in name]
    digests = [parse_digest(name) for name in names if "/" not in name]
    return ids, digests


def _ask(
    home: Path, name: str, request: Callable[[Node], Request], form: str, *, as_curl: bool
) -> None:
    media_type = _MEDIA_TYPES[form]
    with opened_node(home) as node:
        peer = known_peer(node, name)
        if as_curl:
            click.echo(_curl(node, peer, request(node), media_type))
            return
        answer = call(node, peer, request(node), media_type)
    document = codec.encode(media_type, codec.answer_tree(answer))
    click.echo(document.decode("utf-8"))


def _curl(node: Node, peer: Peer, request: Request, media_type: str) -> str:
    sent = prepare(node, peer, request, media_type, compress=False)
    # The answer is for people to read, so it is not asked for compressed.
    headers = {name: value for name, value in sent.headers.items() if name != "accept-encoding"}
    return curl_command(sent.url, Signed(headers, sent.base_digest), sent.body, media_type)
