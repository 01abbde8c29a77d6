"""Slow, regular housekeeping, part by part; one part that fails does not keep the others waiting.

What pulls left open is queued again, in case Redis forgot it; posts that are not kept any more go;
members that nobody has heard of for long are forgotten, and dead letters of posts that came from
elsewhere meanwhile. Posts whose origin became known leave the quarantine, and held ones are shown
in a pool whose key came after them.
Blocks that a kill cut off are gone on with, and contents whose origin's keys changed are judged
anew. Each part is bounded, and what it does not finish is done in the next round.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from replicator.node import (
    dead_letters,
    moderation,
    own_log,
    quarantine,
    rekeying,
    reopening,
    retention,
    roster,
)
from replicator.node.context import Node
from replicator.node.health import reachable
from replicator.node.pull import requeue_gaps

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KeptUp:
    """What one round did: gaps queued; expired items, members and dead letters removed; posts let
    out of quarantine, and shown in a pool whose key came after them; steps of blocks done; whether
    its own keys were others than before; contents judged anew."""

    gaps: int = 0
    expired: int = 0
    members: int = 0
    letters: int = 0
    released: int = 0
    shown: int = 0
    blocked: int = 0
    pinned: int = 0
    reopened: int = 0


def upkeep(node: Node) -> KeptUp:
    """Do every part.

    Raises:
        Exception: of the first part that failed, after all of them had their turn.
    """
    done: dict[str, int] = {}
    failures: list[Exception] = []
    for name, part in _PARTS.items():
        try:
            done[name] = part(node)
        except Exception as error:
            log.warning("upkeep.part_failed", part=name, reason=str(error))
            failures.append(error)
    if failures:
        raise failures[0]
    return KeptUp(**done)


def _requeue(node: Node) -> int:
    """Queue the open gaps of every peer that can be asked."""
    peers = [peer for peer in node.store.peers() if reachable(node, peer)]
    return sum(requeue_gaps(node, peer.id) for peer in peers)


_PARTS: Final[Mapping[str, Callable[[Node], int]]] = {
    "expired": lambda node: retention.expire(node).items,
    "members": roster.drop_old,
    "letters": dead_letters.drop_known,
    "gaps": _requeue,
    "blocked": moderation.apply,
    "pinned": rekeying.pin_own,
    "reopened": reopening.judge_anew,
    "shown": own_log.fill,
    "released": quarantine.release,
}
"""In this order: what has expired is neither queued nor asked for again."""
