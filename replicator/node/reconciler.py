"""The reconciler's tick: look for due work and ring for it. The system's safety net.

Every doorbell may be lost; the tick finds what is due from stored state (lanes behind their log,
fetch items whose time has come, pulls, repairs and questions for members) and rings again. It calls
no peer and does no work itself. A lane that has only skipped entries before it is moved on here,
without a message. What a tick costs grows little with the peers: lanes at one place are looked at
together, times and breakers are read in one go, and periodic work comes at a bounded rate.

A peer in half-open is rung for once, since one probe goes out; of slow ones a few are rung for,
since few would get a slot. The others have their turn in another tick.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from replicator.errors import CursorConflict
from replicator.node.context import Node
from replicator.node.doorbells import ring
from replicator.node.ports import Peer
from replicator.protocol.ids import KeyText, NodeId
from replicator.rules import breaker, pacing
from replicator.rules.backoff import jittered
from replicator.rules.breaker import Breaker
from replicator.rules.pacing import Periodic
from replicator.rules.trust import Oddity

_HOLDERS_MIN: Final = 1_000
"""Due holders looked at in one tick at least; those that cannot be called hide nobody."""
_LANES_MAX: Final = 250
"""Lanes that one tick rings for: each flag is a round trip. Of more, any: others come next."""
_MOVES_MAX: Final = 50
"""Lanes that one tick moves on past what they need not say: each is a transaction."""
_SLOW_PER_SLOT: Final = 4
"""Slow peers rung for in one tick, per slot: some of them have nothing to do, or are done soon."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Messages that one tick sent."""

    announce: int = 0
    fetch: int = 0
    pull: int = 0
    repair: int = 0
    roster: int = 0
    look: int = 0


def tick(node: Node) -> Ticked:
    """Ring for everything that is due now; what would bring posts only where there is room."""
    this = _Tick(node)
    full = node.store.is_full()
    return Ticked(
        announce=this.announce(),
        fetch=0 if full else this.fetch(),
        pull=0 if full else this.periodic("pull", this.callable),
        repair=this.periodic("repair", this.mates),
        roster=0 if node.policy.roster == "off" else this.periodic("roster", this.mates),
        look=this.look(),
    )


def wake(node: Node) -> int:
    """Spread the lanes' first rings after a restart over `wake_seconds`; return of how many.

    What is published meanwhile rings its lanes at once. A node that announces its keys asks all
    pool-mates for their rosters, for with that it introduces itself: what it announces may be new.
    """
    now, spread = node.clock.now(), node.limits.wake_seconds * 1000
    peers = [peer.id for peer in node.store.peers()]
    times = {peer: now + int(node.random.random() * spread) for peer in peers}
    if times:
        node.work.set_dues("announce", times)
        if node.identity.announced is not None:
            _introduce_soon(node, peers, now)
    return len(times)


def _introduce_soon(node: Node, peers: Sequence[NodeId], now: int) -> None:
    """Have the roster turn of all peers come soon: within what a few calls per second take."""
    limits = node.limits
    spread = 1000 * max(limits.wake_seconds, len(peers) / limits.maintenance_calls_per_second)
    known = node.work.dues("roster", peers)
    drawn = {peer: now + 1 + int(node.random.random() * spread) for peer in peers}
    node.work.set_dues("roster", {peer: min(at, known[peer] or at) for peer, at in drawn.items()})


class _Tick:
    """What one tick looks at: the peers that may be called now, and what it has rung for."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._now = node.clock.now()
        self._pools = node.identity.pools
        self._all = [p for p in node.store.peers() if p.address is not None and not p.paused]
        breakers = node.work.breakers([peer.id for peer in self._all])
        self._peers = self._let_out(breakers)
        self._probes = {peer for peer in self._peers if breakers[peer].failures}
        self._probed: set[NodeId] = set()
        self.callable = list(self._peers)
        self.mates = [peer.id for peer in self._peers.values() if peer.pools & self._pools]

    def _let_out(self, breakers: Mapping[NodeId, Breaker]) -> dict[NodeId, Peer]:
        """Return the peers that may be called now, of the slow ones only a few."""
        node = self._node
        out = [peer for peer in self._all if breaker.lets_out(breakers[peer.id], self._now)]
        slow = [peer.id for peer in out if breakers[peer.id].slow]
        excess = len(slow) - _SLOW_PER_SLOT * node.limits.slow_slots_max
        left = set(node.random.sample(slow, excess)) if excess > 0 else set()
        return {peer.id: peer for peer in out if peer.id not in left}

    def announce(self) -> int:
        """Ring the lanes that have something to say, unless their first ring comes later."""
        behind = self._behind()
        times = self._node.work.dues("announce", behind) if behind else {}
        # a restart sets no later time: one that is later is of a clock that was put back
        latest = self._now + int(self._node.limits.wake_seconds * 1000)
        lanes = [peer for peer in behind if not self._now < times[peer] <= latest]
        if len(lanes) > _LANES_MAX:
            lanes = self._node.random.sample(lanes, _LANES_MAX)
        return ring(self._node, "announce", self._turns(lanes), "tick")

    def fetch(self) -> int:
        """Ring for holders with due items."""
        holders = self._node.work.due_holders(self._now, max(_HOLDERS_MIN, 2 * len(self._all)))
        asked = self._turns(holder for holder in holders if holder in self._peers)
        return ring(self._node, "fetch", asked, "tick")

    def periodic(self, kind: Periodic, among: Sequence[NodeId]) -> int:
        """Ring for peers whose turn has come, the longest due first, and set the next turns.

        A time that was never set, or lost with Redis, is a random one within the period, so that
        neither a new pool nor a flush makes all nodes act at once.
        """
        if not among:
            return 0
        node, now, limits = self._node, self._now, self._node.limits
        # those that cannot be called cost nothing: invented peers stretch nobody's turns
        count, chance = len(self._peers), node.random
        period = pacing.period_seconds(kind, count, limits)
        times = node.work.dues(kind, among)
        # nobody else sets a pull's time so late: it is of a clock that was put back
        latest = now + int(2000 * period) if kind == "pull" else max(times.values())
        due = sorted((times[peer], peer) for peer in among if 0 < times[peer] <= now)
        chosen = self._turns(peer for _, peer in due[: pacing.rung_max(limits)])
        following = {
            peer: pacing.first_due(kind, count, now, limits, chance)
            for peer in among
            if not 0 < times[peer] <= latest
        }
        following |= {peer: pacing.next_due(period, now, chance) for peer in chosen}
        if following:
            node.work.set_dues(kind, following)
        return ring(node, kind, chosen, "tick")

    def look(self) -> int:
        """Ring for peers whose keys are to be looked at: no more than there are calls to spare."""
        node, limits = self._node, self._node.limits
        most = max(1, math.floor(limits.maintenance_calls_per_second * limits.tick_seconds))
        pauses: dict[Oddity, float] = {
            "strange": limits.key_look_seconds,
            "lacking": limits.key_lacking_seconds,
        }
        until = {
            why: self._now + int(jittered(seconds, node.random) * 1000)
            for why, seconds in pauses.items()
        }
        return ring(node, "look", node.work.take_looks(most, self._now, until), "tick")

    def _turns(self, peers: Iterable[NodeId]) -> list[NodeId]:
        """Return peers to ring for: one that gets a probe only, once per tick."""
        chosen = [peer for peer in peers if peer not in self._probed]
        self._probed.update(self._probes.intersection(chosen))
        return chosen

    def _behind(self) -> list[NodeId]:
        """Return peers with something to announce; move the other lanes on.

        Lanes at one place that serve the same pools are looked at together. A lane may be found to
        have only the peer's own posts before it when it runs; it moves on then.
        """
        last = self._node.store.last_change()
        places: dict[tuple[int, frozenset[KeyText]], list[Peer]] = defaultdict(list)
        for peer in self._peers.values():
            pools = self._node.identity.reach(peer.pools)
            if pools and peer.pushed < last:
                places[peer.pushed, pools].append(peer)
        behind: list[NodeId] = []
        moves = _MOVES_MAX
        for (_, pools), peers in sorted(places.items(), key=lambda place: place[0][0]):
            # as no post was received from this node itself, nobody's are left out
            anyone = replace(peers[0], id=self._node.identity.node_id)
            page = self._node.store.lane(anyone, pools, 1, 1)
            if page.refs:
                behind += [peer.id for peer in peers]
                continue
            for peer in peers[:moves]:
                self._move(peer, page.upto)
            moves -= len(peers[:moves])
        return behind

    def _move(self, peer: Peer, upto: int) -> None:
        if upto != peer.pushed:
            with suppress(CursorConflict):  # its lane runs
                self._node.store.move_lane(peer.id, peer.pushed, upto)
