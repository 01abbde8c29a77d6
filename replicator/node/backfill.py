"""Backfills: ways through logs that were read before, for posts that were not taken then.

A backfill is a row: the peer, what is looked for, and how far it got. It survives restarts and the
loss of Redis, begins at the epoch and goes when it is at its end. `backfilling` goes on with those
through peers' logs, `own_log` with those through this node's own.

There is always a place for one more: where a peer has too many, its oldest goes on and one through
its whole log takes the place of the rest. So each walk that was begun comes to its end however much
else is asked for meanwhile, and that is looked for in the next one at the latest.
"""

from contextlib import suppress
from typing import Final

import msgspec

from replicator.errors import WorkUnavailable
from replicator.node.context import Node
from replicator.node.ports import Backfill, Peer
from replicator.protocol.ids import KeyText, WireKey
from replicator.protocol.messages import Filter


class Aim(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a backfill looks for: the filter and scope of its pulls; empty: everything.

    ``again`` changes nothing in that: it is another one for the same, after one under way.
    """

    filter: Filter | None = None
    scope: WireKey | None = None
    again: bool = False

    @property
    def text(self) -> str:
        """The aim as the store keeps it: equal aims have equal texts."""
        return msgspec.json.encode(self).decode()


WHOLE: Final = (Aim().text, Aim(again=True).text)
"""The whole log, twice: while one is under way another waits for what was asked for since."""


def aim_of(job: Backfill) -> Aim:
    """Return what a backfill looks for."""
    return msgspec.json.decode(job.query, type=Aim)


def start(node: Node, wanted: Filter | None, reason: str, *, scope: KeyText | None = None) -> int:
    """Look through the logs of all peers for posts that were not taken before.

    One that is under way for the same begins anew. Peers that are paused, or away, have their turn
    when they are back; one that was never pulled needs none.

    Args:
        wanted: which posts; None: all.
        reason: for people: it is shown while the backfill runs.
        scope: only posts of this pool, at members of it.

    Returns:
        How many peers' logs are looked through.
    """
    peers = [peer.id for peer in node.store.peers() if _may_have(node, peer, scope)]
    now = node.clock.now()
    node.store.add_backfills(peers, Aim(wanted, scope).text, reason, now, whole=WHOLE)
    with suppress(WorkUnavailable):  # the tick comes by anyway
        node.work.set_dues("pull", dict.fromkeys(peers, now))
    return len(peers)


def _may_have(node: Node, peer: Peer, scope: KeyText | None) -> bool:
    if peer.address is None or peer.pulled is None:
        return False
    if scope is not None:
        return scope in node.identity.reach(peer.pools)
    return bool(peer.pools) or node.policy.put == "peers"
