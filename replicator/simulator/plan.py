"""What a seed draws before a run: its size, its faults, and when each of them happens. Pure.

The kinds of faults are drawn independently of each other, so that 300 seeds meet each kind often,
alone and in company. All faults that can end do so at a drawn time; what stays are wrong clocks and
peers that are dead, slow or lie.
"""

import random
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from replicator.limits import Limits


class Fault(StrEnum):
    """The kinds of faults."""

    LOSS = "loss"
    DUPLICATION = "duplication"
    REORDERING = "reordering"
    DELAY = "delay"
    PARTITION = "partition"
    SKEW = "skew"
    CRASH = "crash"
    POWER = "power"
    FLUSH = "flush"
    STALL = "stall"
    DEAD = "dead"
    SLOW = "slow"
    LIAR = "liar"
    EQUIVOCATION = "equivocation"
    DOORBELL_LOSS = "doorbell-loss"
    DOORBELL_DUPLICATION = "doorbell-duplication"
    OUTAGE = "outage"


RATES: Final = {"none": 0.0, "light": 0.12, "heavy": 0.4}
"""How likely each kind is drawn, per profile."""

_STRANGE: Final = (Fault.DEAD, Fault.SLOW, Fault.LIAR, Fault.EQUIVOCATION)
"""Kinds that are a peer's nature; a run of three nodes has room for one such peer."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be simulated, as the command line gives it; None is drawn from the seed."""

    seed: int
    nodes: int | None = None
    posts: int | None = None
    faults: str = "heavy"
    mutant: str | None = None

    @property
    def command(self) -> str:
        """The command line that runs exactly this again."""
        parts = [f"replicator simulate --seed {self.seed}"]
        parts += [f"--nodes {self.nodes}"] if self.nodes is not None else []
        parts += [f"--posts {self.posts}"] if self.posts is not None else []
        parts += [f"--faults {self.faults}"]
        parts += [f"--mutant {self.mutant}"] if self.mutant else []
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Crash:
    """One death: of a process, or of the whole machine (``process`` None)."""

    at: int
    node: int
    process: str | None
    steps: int
    """It dies at this many points after ``at``; a point is before or after a call of a port."""
    away: int
    """Milliseconds until it runs again."""
    flush: bool
    """Whether it comes back with an empty Redis."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that is wrong with some nodes for a while; ``port``: of an outage."""

    begin: int
    end: int
    nodes: frozenset[int]
    port: str = ""


@dataclass(slots=True)
class Plan:
    """Everything that a seed has drawn; times in ms since the begin."""

    order: Order
    nodes: int
    posts: int
    publish_ms: int
    heal_ms: int
    kinds: frozenset[Fault] = frozenset()
    dead: frozenset[int] = frozenset()
    """Nodes that never answered."""
    perish: dict[int, int] = field(default_factory=dict)
    """Nodes that die for good, each with its time."""
    slow: frozenset[int] = frozenset()
    liars: frozenset[int] = frozenset()
    two_faced: frozenset[int] = frozenset()
    calm: frozenset[int] = frozenset()
    """Two honest nodes that no fault touches, and the link between them."""
    expiring: bool = False
    """Every node keeps posts of one day only, and some posts are nearly as old."""
    ring: bool = False
    """Every node knows its two neighbours only, in place of everybody."""
    skews: dict[int, int] = field(default_factory=dict)
    crashes: list[Crash] = field(default_factory=list)
    flushes: list[tuple[int, int]] = field(default_factory=list)
    partitions: list[Span] = field(default_factory=list)
    outages: list[Span] = field(default_factory=list)
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    delay_ms: int = 20
    doorbell_loss: float = 0.0
    doorbell_duplication: float = 0.0
    pauses: float = 0.0
    """How likely a task lets others in at a port call."""
    stalls: float = 0.0
    """How likely such a pause outlasts every lease."""
    bad_posts: int = 0

    @property
    def honest(self) -> list[int]:
        """The nodes whose sets must become equal."""
        away = self.dead | self.liars | self.two_faced | set(self.perish)
        return [number for number in range(self.nodes) if number not in away]


def draw(order: Order) -> Plan:
    """Draw the plan of a seed; ValueError for an unknown profile or a number out of bounds."""
    if order.faults not in RATES:
        raise ValueError(f"unknown faults {order.faults!r}; known: {', '.join(RATES)}")
    chance = random.Random(f"{order.seed}/plan")
    # small pools more often than large ones: they find as much, for less
    nodes = min(chance.randint(3, 12), chance.randint(3, 12))
    posts = min(chance.randint(20, 300), chance.randint(20, 300))
    nodes = nodes if order.nodes is None else order.nodes
    posts = posts if order.posts is None else order.posts
    if not 2 <= nodes <= 100 or not 1 <= posts <= 100_000:
        raise ValueError("a simulation has 2 to 100 nodes and 1 to 100,000 posts")
    publish_ms = chance.randint(15, 40) * 1000
    plan = Plan(order, nodes, posts, publish_ms, publish_ms + chance.randint(5, 20) * 1000)
    rate = RATES[order.faults]
    kinds = {kind for kind in Fault if chance.random() < rate}
    _cast(plan, kinds, chance)
    _rates(plan, kinds, chance)
    _times(plan, kinds, chance)
    plan.expiring = chance.random() < 0.25 and order.faults != "none"
    plan.kinds = frozenset(kinds)
    return plan


def _cast(plan: Plan, kinds: set[Fault], chance: random.Random) -> None:
    """Say who is dead, slow or lies; kinds for which there is no room are not met."""
    others = list(range(plan.nodes))
    chance.shuffle(others)
    calm, rest = others[:2], others[2:]
    room = max(1, plan.nodes // 3) if plan.nodes > 2 else 0
    picked: dict[Fault, set[int]] = {kind: set() for kind in _STRANGE}
    wanted = [kind for kind in _STRANGE if kind in kinds]
    chance.shuffle(wanted)
    for number in range(room if wanted else 0):
        kind = wanted[number % len(wanted)]
        if number < len(wanted) or chance.random() < 0.3:
            picked[kind].add(rest.pop())
    kinds.difference_update(kind for kind in wanted if not picked[kind])
    for number in sorted(picked[Fault.DEAD]):
        if chance.random() < 0.6:
            plan.perish[number] = chance.randint(5_000, plan.publish_ms)
    plan.dead = frozenset(picked[Fault.DEAD] - set(plan.perish))
    plan.slow = frozenset(picked[Fault.SLOW])
    plan.liars = frozenset(picked[Fault.LIAR])
    plan.two_faced = frozenset(picked[Fault.EQUIVOCATION])
    plan.calm = frozenset(calm) if chance.random() < 0.5 else frozenset()
    strange = any(picked.values())
    plan.ring = not strange and plan.nodes > 3 and chance.random() < 0.25


def _rates(plan: Plan, kinds: set[Fault], chance: random.Random) -> None:
    def rate(kind: Fault, low: float, high: float) -> float:
        drawn = chance.uniform(low, high)
        return drawn if kind in kinds else 0.0

    plan.loss = rate(Fault.LOSS, 0.08, 0.3)
    plan.duplication = rate(Fault.DUPLICATION, 0.08, 0.3)
    plan.reordering = rate(Fault.REORDERING, 0.08, 0.3)
    plan.delay_ms = chance.randint(200, 3_000) if Fault.DELAY in kinds else 20
    plan.doorbell_loss = rate(Fault.DOORBELL_LOSS, 0.1, 0.6)
    plan.doorbell_duplication = rate(Fault.DOORBELL_DUPLICATION, 0.1, 0.5)
    if kinds:
        plan.pauses = chance.choice((0.0, 0.02, 0.05))
    if Fault.STALL in kinds:
        plan.pauses, plan.stalls = 0.05, 0.08


def _times(plan: Plan, kinds: set[Fault], chance: random.Random) -> None:
    """Say when machines crash, are cut off, lose their Redis, or have a wrong clock."""
    shaken = [number for number in range(plan.nodes) if number not in plan.calm | plan.dead]
    if not shaken:
        kinds.difference_update(_TIMED)
        return
    times = _Times(plan, shaken, chance)
    if Fault.CRASH in kinds:
        plan.crashes += [times.crash(flush=Fault.FLUSH in kinds) for _ in times.some()]
    if Fault.POWER in kinds:
        plan.crashes += [times.power_cut(flush=Fault.FLUSH in kinds) for _ in times.some()]
    if Fault.FLUSH in kinds:
        plan.flushes = [(times.moment(), chance.choice(shaken)) for _ in times.some()]
    if Fault.PARTITION in kinds:
        plan.partitions = [times.partition() for _ in times.some()]
    if Fault.OUTAGE in kinds:
        plan.outages = [times.outage() for _ in times.some()]
    if Fault.SKEW in kinds:
        for number in chance.sample(shaken, chance.randint(1, len(shaken))):
            plan.skews[number] = chance.randint(-_SKEW_MS, _SKEW_MS)


@dataclass(frozen=True, slots=True)
class _Times:
    """Draws moments and spans for the nodes that are not calm."""

    plan: Plan
    shaken: list[int]
    chance: random.Random

    def some(self) -> range:
        return range(self.chance.randint(1, 4))

    def moment(self) -> int:
        return self.chance.randint(1_000, self.plan.publish_ms)

    def crash(self, *, flush: bool) -> Crash:
        return Crash(
            at=self.moment(),
            node=self.chance.choice(self.shaken),
            process=self.chance.choice(("gateway", "answers", "lanes")),
            steps=self.chance.randint(1, 60),
            away=self.chance.randint(500, 20_000),
            flush=flush and self.chance.random() < 0.5,
        )

    def power_cut(self, *, flush: bool) -> Crash:
        return replace(self.crash(flush=flush), process=None)

    def span(self, nodes: frozenset[int], port: str = "") -> Span:
        begin = self.moment()
        end = min(self.plan.heal_ms, begin + self.chance.randint(5_000, 40_000))
        return Span(begin, end, nodes, port)

    def partition(self) -> Span:
        side = frozenset(number for number in self.shaken if self.chance.random() < 0.5)
        return self.span(side or frozenset(self.shaken[:1]))

    def outage(self) -> Span:
        port = self.chance.choice(("work", "store", "doorbell"))
        return self.span(frozenset({self.chance.choice(self.shaken)}), port)


_SKEW_MS: Final = 4 * 3_600_000
_TIMED: Final = (
    Fault.CRASH,
    Fault.POWER,
    Fault.FLUSH,
    Fault.PARTITION,
    Fault.OUTAGE,
    Fault.SKEW,
)


def limits_of(plan: Plan) -> Limits:
    """Return limits under which a run converges within a virtual hour at a bounded cost.

    Periods grow with the number of pairs, so that all nodes together make about as many calls in
    a run of twelve nodes as in one of three.
    """
    pairs = plan.nodes * (plan.nodes - 1)
    period = max(12.0, float(pairs))
    return Limits(
        retry_cap_seconds=30.0,
        malformed_base_seconds=5.0,
        refused_base_seconds=5.0,
        misfit_cap_seconds=60.0,
        unsupported_seconds=600.0,
        wake_seconds=5.0,
        pull_seconds=period,
        sweep_seconds=600.0,
        reconcile_seconds=max(20.0, 2 * period),
        roster_seconds=600.0,
        inline_post_bytes_max=2_048,
        suspects_max=8,
        fetch_queue_items_max=2_000,
        dead_letters_max=100,
        refusal_records_max=50,
        visibility_seconds=10,
        floor_step_seconds=10,
    )
