"""Moderation at the door: posts, or all posts of a node, that the operator does not want here.

A block counts at once, in all processes: every way in asks the store (`node.objections`), and the
store refuses what was judged just before. What is held goes in bounded steps; `upkeep` goes on
where a kill stopped it. A removed digest is remembered as decided: it stays in the sets that are
compared with peers, so that nothing brings it up again. Of posts not held here nothing is decided
on a peer's word; only their content, once seen, says what they are (`node.closing`).

Unblocking forgets what was decided and has peers' logs looked through for the posts.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from replicator.errors import ConfigurationError, Malformed, WorkUnavailable
from replicator.node.backfill import start
from replicator.node.context import Node
from replicator.node.ports import BlockName
from replicator.node.reopening import judge_anew
from replicator.node.repair import repair_soon
from replicator.protocol.ids import NodeId, origin_of, parse_digest, parse_global_id, parse_node_id
from replicator.protocol.messages import FILTER_ITEMS_MAX, Filter

log = structlog.get_logger()

_NODE: Final = "node:"


def parse_name(text: str) -> BlockName:
    """Read what a person blocks: ``node-id/post-id``, a digest, or ``node:node-id``.

    Raises:
        Malformed: it is none of these.
    """
    if text.startswith(_NODE):
        return BlockName("node", parse_node_id(text.removeprefix(_NODE)))
    if "/" in text:
        return BlockName("id", parse_global_id(text))
    try:
        return BlockName("digest", parse_digest(text))
    except Malformed as error:
        raise Malformed(f"{text[:80]!r} is no NODE/ID, no digest and no node:NODE") from error


@dataclass(frozen=True, slots=True)
class Blocked:
    """What a change of blocks did.

    Args:
        changed: blocks that were made, or lifted.
        posts: held before that went; or digests that were remembered and are forgotten.
        backfills: peers whose logs are looked through for what was refused.
    """

    changed: int
    posts: int
    backfills: int = 0


def block(node: Node, names: Collection[BlockName], reason: str) -> Blocked:
    """Take posts out and keep them out.

    Raises:
        ConfigurationError: more than ``blocks_max`` would stand, or the reason is too long;
            nothing was done.
    """
    if len(reason) > node.limits.block_reason_chars_max:
        most = node.limits.block_reason_chars_max
        raise ConfigurationError(f"a reason has at most {most} characters, not {len(reason)}")
    now = node.clock.now()
    before = node.store.totals().posts
    changed = node.store.add_blocks(names, reason, now)
    while node.store.apply_blocks(now):
        pass
    removed = max(0, before - node.store.totals().posts)
    log.info("moderation.blocked", blocks=changed, posts=removed)
    return Blocked(changed, removed)


def unblock(node: Node, names: Collection[BlockName]) -> Blocked:
    """Let posts in again, and look for them at peers."""
    origins = set(map(_origin, names))
    before = node.store.totals().decided
    changed = node.store.lift_blocks(names)
    now = node.clock.now()
    while node.store.apply_blocks(now):
        pass
    forgotten = max(0, before - node.store.totals().decided)
    backfills = 0
    judge_anew(node)  # what had lost to something that is forgotten now
    if changed or forgotten:
        backfills = _look_for(node, origins)
        with suppress(WorkUnavailable):  # its turn comes as usual then
            repair_soon(node)
    log.info("moderation.unblocked", blocks=changed, digests=forgotten)
    return Blocked(changed, forgotten, backfills)


def _origin(name: BlockName) -> NodeId | None:
    """Return whose posts a name stands for; None: a digest does not tell."""
    match name.kind:
        case "node":
            return parse_node_id(name.value)
        case "id":
            return origin_of(parse_global_id(name.value))
        case "digest":
            return None


def _look_for(node: Node, origins: Collection[NodeId | None]) -> int:
    """Start backfills for posts of origins; return through how many peers' logs they go."""
    named = sorted(origin for origin in origins if origin is not None)
    if None in origins or len(named) > FILTER_ITEMS_MAX:
        return start(node, None, "unblocked")
    return start(node, Filter(nodes=tuple(named)), "unblocked") if named else 0


def apply(node: Node) -> int:
    """Go on with what a kill cut off, for at most a slice of time; return the steps' sum."""
    deadline = node.clock.monotonic() + node.limits.slice_seconds
    done, now = 0, node.clock.now()
    while step := node.store.apply_blocks(now):
        done += step
        if node.clock.monotonic() >= deadline:
            break
    return done
