"""Peers that lie: members of the pool, with good keys, that say whatever does harm.

A liar answers well now and then, so that it stays in business. A two-faced origin signs two posts
under one id and tells different nodes different ones.
"""

import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from replicator.errors import ReplicatorError
from replicator.node.health import ask
from replicator.node.ports import Query, Receipt, Reply
from replicator.node.replies import Asker, ReplyTo, reply
from replicator.protocol import codec
from replicator.protocol.cursor import encode_cursor
from replicator.protocol.ids import Digest, GlobalId
from replicator.protocol.messages import (
    Answer,
    GetAnswer,
    Missing,
    PullAnswer,
    Put,
    PutAnswer,
    PutItem,
    PutResult,
    ReconcileAnswer,
)
from replicator.protocol.post import Content, Post, Ref
from replicator.protocol.signing import b64url, sign_post
from replicator.simulator.process import Process

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine
    from replicator.simulator.world import World

_LIES_PER_ANSWER = 0.6
_Lie = Callable[["Machine", dict[str, Any]], Answer]


def lie(process: Process, token: str) -> bool:
    """Answer a request falsely; False: answer it well this time."""
    machine = process.machine
    if machine.random.random() >= _LIES_PER_ANSWER:
        return False
    taken = process.node.work.take_request(token)
    if taken is None:
        return False
    receipt, body = taken
    tree = codec.decode(receipt.media_type, body, machine.world.limits)
    lies = _LIES.get(tree.get("type", ""), ())
    machine.world.faults.met("liar")
    choice = machine.random.randrange(len(lies) + 2)
    if choice < len(lies):
        answer = lies[choice](machine, tree)
        _send(process, receipt, answer)
    elif choice == len(lies):
        page = (("content-type", "text/html"),)
        process.node.work.reply(receipt.gateway, Reply(receipt.token, 200, page, b"<html>hi"))
    else:
        _send(process, receipt, PullAnswer(refs=(), cursor=machine.store.end_cursor()), spoilt=True)
    return True


def _send(process: Process, receipt: Receipt, answer: Answer, *, spoilt: bool = False) -> None:
    asker = Asker(receipt.sender, receipt.base_digest, receipt.pool_keys)
    to = ReplyTo(receipt.token, receipt.media_type, asker)
    signed = reply(process.node, answer, to)
    if spoilt:
        signed = Reply(signed.token, signed.status, signed.headers, signed.body + b" ")
    process.node.work.reply(receipt.gateway, signed)


def _invented_refs(machine: "Machine", tree: dict[str, Any]) -> Answer:
    """Refs of posts that do not exist, in the names of honest nodes."""
    names = sorted(machine.world.by_id)
    refs = tuple(
        Ref(
            id=GlobalId(f"{machine.random.choice(names)}/x{machine.random.randrange(10**6)}"),
            digest=Digest(machine.random.randbytes(32).hex()),
            published=machine.clock.now(),
            size=machine.random.randrange(100, 5_000),
        )
        for _ in range(machine.random.randint(1, 8))
    )
    return PullAnswer(refs=refs, cursor=machine.store.end_cursor())


def _endless_pages(machine: "Machine", tree: dict[str, Any]) -> Answer:
    """An empty page whose cursor moves, and always more."""
    position = machine.random.randrange(1, 10**9)
    mark = Digest(machine.random.randbytes(32).hex())
    cursor = encode_cursor(machine.random.randbytes(8), position, mark)
    return PullAnswer(refs=(), cursor=cursor, more=True)


def _forged_page(machine: "Machine", tree: dict[str, Any]) -> Answer:
    """A page of forged posts."""
    posts = machine.store.page(Query(limit=20), None).posts
    models = tuple(_forged(machine, post) for post in posts)
    return PullAnswer(models=models, cursor=machine.store.end_cursor())


def _nothing(machine: "Machine", tree: dict[str, Any]) -> Answer:
    """Whatever was asked for is said to be missing."""
    digests = [Digest(text) for text in tree.get("digests", ())]
    declined = machine.random.random() < 0.5
    return GetAnswer(
        models=(), missing=tuple(Missing(digest=d, declined=declined) for d in digests)
    )


def _silence(machine: "Machine", tree: dict[str, Any]) -> Answer:
    """No word on anything that was asked for."""
    return GetAnswer(models=(), missing=())


def _forgeries(machine: "Machine", tree: dict[str, Any]) -> Answer:
    """Forged posts in place of those that were asked for."""
    posts = machine.store.get(digests=[Digest(text) for text in tree.get("digests", ())])
    ordered = sorted(posts, key=lambda post: post.digest)
    return GetAnswer(models=tuple(_forged(machine, post) for post in ordered[:20]), missing=())


def _forged(machine: "Machine", post: Post) -> Any:
    """Change a post's text, or its id, or its size, or one of its signatures."""
    content = json.loads(bytes(codec.model_tree(post).content))
    signatures = [{"key": s.key, "value": s.value} for s in post.signatures]
    match machine.random.randrange(4):
        case 0:
            content["text"] = "forged"
        case 1:
            content["id"] = f"{post.id}-again"
            pool = machine.world.pool
            return codec.model_tree(
                sign_post(_content(post, GlobalId(content["id"])), [pool], machine.world.limits)
            )
        case 2:
            content["text"] = "y" * (machine.world.limits.post_bytes_max + 1)
        case _:
            value = b64url(machine.random.randbytes(64))
            signatures[0] = {**signatures[0], "value": value}
    return {"content": content, "signatures": signatures}


def _content(post: Post, post_id: GlobalId, text: str | None = None) -> Content:
    old = post.content
    return Content(
        attachments=old.attachments,
        author=old.author,
        id=post_id,
        published=old.published,
        tags=old.tags,
        text=old.text if text is None else text,
        thread=old.thread,
        title=old.title,
    )


def _swallow(machine: "Machine", tree: dict[str, Any]) -> Answer:
    """Every item is said to be stored; none is."""
    count = len(tree.get("models") or tree.get("refs") or ())
    return PutAnswer(items=tuple(PutItem(PutResult.STORED) for _ in range(count)))


def _nonsense(machine: "Machine", tree: dict[str, Any]) -> Answer:
    """A frame of the right version and random bytes."""
    frame = b"\x61" + machine.random.randbytes(machine.random.randrange(0, 400))
    return ReconcileAnswer(since=int(tree.get("since", 0)), frame=b64url(frame))


def _empty_set(machine: "Machine", tree: dict[str, Any]) -> Answer:
    """A frame that says nothing, or a floor above everything."""
    if machine.random.random() < 0.5:
        return ReconcileAnswer(since=int(tree.get("since", 0)), frame=b64url(b"\x61"))
    return ReconcileAnswer(since=machine.clock.now() + machine.random.randrange(10**6))


_LIES: dict[str, tuple[_Lie, ...]] = {
    "pull": (_invented_refs, _endless_pages, _forged_page),
    "get": (_nothing, _silence, _forgeries),
    "put": (_swallow,),
    "reconcile": (_nonsense, _empty_set),
}


def schedule(world: "World") -> None:
    """Let two-faced origins speak while posts are published."""
    chance = random.Random(f"{world.plan.order.seed}/two-faced")
    for number in sorted(world.plan.two_faced):
        machine = world.machines[number]
        for count in range(chance.randint(1, 4)):
            pair = [_variant(machine, count, text) for text in ("one", "other")]
            peers = [other for other in world.machines.values() if other.honest]
            for place, other in enumerate(peers):
                at = chance.randint(1_000, world.plan.publish_ms)
                _tell_at(at, machine, other, pair[(place + count) % 2])


def _variant(machine: "Machine", count: int, text: str) -> Post:
    content = Content(
        attachments=(),
        author="",
        id=GlobalId(f"{machine.id}/two-{count}"),
        published=machine.clock.now(),
        tags=(),
        text=text,
        thread=None,
        title="",
    )
    keys = [machine.identity.node_keys[0], machine.world.pool]
    return sign_post(content, keys, machine.world.limits)


def _tell_at(at: int, machine: "Machine", other: "Machine", post: Post) -> None:
    world = machine.world

    def tell() -> object:
        node = machine.node
        peer = node.store.peer(other.id)
        if peer is None:
            return "unknown"
        try:
            ask(node, peer, Put(models=(codec.model_tree(post),)))
        except ReplicatorError as error:
            return f"not told: {error}"
        world.faults.met("equivocation")
        return "told"

    def start() -> None:
        process = machine.processes["lanes"]
        if process.alive:
            machine.run(process, "two-faced", tell)

    world.scheduler.after(at, start)
