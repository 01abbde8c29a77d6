"""The board applications: they publish until each post is acknowledged, as a real client does."""

import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from replicator.node.publish import Draft, publish, read_draft

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine
    from replicator.simulator.world import World

_AGAIN_MS: Final = 2_000
_DAY_MS: Final = 86_400_000
_LARGE: Final = "a long post that is announced by its ref. " * 70


def schedule(world: "World") -> None:
    """Spread the publishing of all posts over the plan's time."""
    chance = random.Random(f"{world.plan.order.seed}/board")
    left = world.plan.posts
    numbers = sorted(world.machines)
    while left:
        count = min(left, chance.choice((1, 1, 1, 2, 5, 20)))
        machine = world.machines[chance.choice(numbers)]
        texts = [_text(chance) for _ in range(count)]
        batch = _Batch(machine, world.plan.posts - left, texts)
        if world.plan.expiring and chance.random() < 0.3:
            batch.age_ms = _DAY_MS - chance.randint(0, 120_000)
        left -= count
        world.unacknowledged += 1
        world.scheduler.after(
            chance.randint(500, world.plan.publish_ms),
            partial(_publish, batch),
        )


def _text(chance: random.Random) -> str:
    return _LARGE if chance.random() < 0.08 else "x" * chance.randint(10, 160)


def is_done(world: "World") -> bool:
    """Tell whether every post was acknowledged."""
    return world.unacknowledged == 0


@dataclass(slots=True)
class _Batch:
    """Posts that a board publishes at once, until they are acknowledged."""

    machine: "Machine"
    first: int
    texts: list[str]
    acknowledged: bool = False
    published: int = 0
    age_ms: int = 0
    """How much older than now its posts say they are."""


def _publish(batch: _Batch) -> None:
    """Publish a batch; ask again later where no acknowledgement came."""
    machine = batch.machine
    world, process = machine.world, machine.processes["gateway"]
    batch.published = batch.published or machine.clock.now() - batch.age_ms

    def work() -> object:
        results = publish(process.node, [_draft(batch, place) for place in range(len(batch.texts))])
        world.unacknowledged -= not batch.acknowledged
        batch.acknowledged = True
        kept = {r.digest: batch.published for r in results if r.status in ("stored", "known")}
        for monitor in world.monitors:
            monitor.published(machine, {d: at for d, at in kept.items() if d is not None})
        return f"{len(results)} posts"

    def again() -> None:
        if machine.gone and not batch.acknowledged:
            world.unacknowledged -= 1
        elif not batch.acknowledged:
            _publish(batch)

    world.scheduler.after(_AGAIN_MS, again)
    if process.alive:
        machine.run(process, "publish", work)


def _draft(batch: _Batch, place: int) -> Draft:
    fields = {
        "id": f"p{batch.first + place}",
        "text": batch.texts[place],
        "published": batch.published,
    }
    return read_draft(batch.machine.id, fields)
