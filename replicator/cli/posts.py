"""`replicator posts`: read the posts this node holds, straight from its database, and moderate."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import click

from replicator.cli.equivocations import equivocations
from replicator.cli.filters import filter_of, filter_options
from replicator.cli.moderation import block, blocks, unblock
from replicator.cli.output import emit, iso, json_option, printable, table
from replicator.cli.quarantine import quarantine
from replicator.cli.session import opened_node
from replicator.errors import ConfigurationError
from replicator.node.context import Node
from replicator.node.ports import Query
from replicator.protocol.ids import Cursor, parse_digest, parse_global_id
from replicator.protocol.post import Post

_PAGE_BYTES_MAX = 8 * 1024 * 1024


@click.group()
def posts() -> None:
    """List, show, export and block posts."""


for verb in (quarantine, block, unblock, blocks, equivocations):
    posts.add_command(verb)


@posts.command("list")
@filter_options
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@json_option
@click.pass_obj
def list_posts(home: Path, /, limit: int, *, as_json: bool, **chosen: Any) -> None:
    """List posts in the order in which they came here."""
    query = Query(filter_of(chosen), limit=limit)
    with opened_node(home) as node:
        found = list(_posts(node, query, limit))
    if as_json:
        emit([_summary(post) for post in found])
        return
    table(
        ("PUBLISHED", "ID", "AUTHOR", "TITLE"),
        (
            (
                iso(post.published),
                post.id,
                printable(post.content.author, 20),
                printable(post.content.title, 50),
            )
            for post in found
        ),
    )


@posts.command("show")
@click.argument("name")
@json_option
@click.pass_obj
def show(home: Path, name: str, *, as_json: bool) -> None:
    """Show one post, by NODE/ID or by digest, with its signatures."""
    with opened_node(home) as node:
        if "/" in name:
            found = node.store.get(ids=[parse_global_id(name)])
        else:
            found = node.store.get(digests=[parse_digest(name)])
    if not found:
        raise ConfigurationError(f"{name} is not held here")
    if as_json:
        emit({"digest": found[0].digest, **_signed(found[0])})
        return
    _show(found[0])


@posts.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=True), default="-")
@filter_options
@click.option("--signed", is_flag=True, help="Whole posts with digest and signatures.")
@click.pass_obj
def export(home: Path, /, file: IO[str], *, signed: bool, **chosen: Any) -> None:
    """Write posts to FILE as JSON lines (-: standard output), in the form that publish reads."""
    shape = _signed if signed else _publishable
    with opened_node(home) as node:
        for post in _posts(node, Query(filter_of(chosen)), None):
            file.write(json.dumps(shape(post), ensure_ascii=False) + "\n")


def _posts(node: Node, query: Query, limit: int | None) -> Iterator[Post]:
    """Yield matching posts page by page; a page is bounded, the whole is not kept."""
    after: Cursor | None = None
    left = limit
    while left is None or left > 0:
        page_limit = 500 if left is None else min(left, 500)
        page = node.store.page(replace(query, limit=page_limit, bytes_max=_PAGE_BYTES_MAX), after)
        yield from page.posts
        if not page.more:
            return
        after = page.cursor
        left = None if left is None else left - len(page.posts)


def _summary(post: Post) -> dict[str, Any]:
    content = post.content
    return {
        "id": post.id,
        "digest": post.digest,
        "published": iso(post.published),
        "size": post.size,
        "author": content.author,
        "title": content.title,
        "tags": content.tags,
        "thread": content.thread,
    }


def _signed(post: Post) -> dict[str, Any]:
    return {
        "content": json.loads(post.canonical),
        "signatures": [{"key": item.key, "value": item.value} for item in post.signatures],
    }


def _publishable(post: Post) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(post.canonical)
    members["published"] = iso(post.published)
    if not members["attachments"]:
        del members["attachments"]
    return members


def _show(post: Post) -> None:
    content = post.content
    rows = [
        ("id", post.id),
        ("digest", post.digest),
        ("title", printable(content.title, 200)),
        ("author", printable(content.author, 200)),
        ("published", iso(post.published)),
        ("tags", printable(", ".join(content.tags), 500)),
        ("thread", content.thread or "-"),
        *(("attachment", printable(item.name, 100)) for item in content.attachments),
        *(("signed by", signature.key) for signature in post.signatures),
    ]
    for name, value in rows:
        click.echo(f"{name + ':':12}{value}")
    click.echo()
    for line in content.text.split("\n"):
        click.echo(printable(line.replace("\t", "    "), 10_000))
