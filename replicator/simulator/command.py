"""The command `replicator simulate`: run seeds, print what happened and what it cost."""

import json
from typing import Any

import click

from replicator.simulator.mutants import MUTANTS
from replicator.simulator.plan import RATES, Order
from replicator.simulator.world import Outcome, World


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="What everything is drawn of.")
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Run this many, from --seed on.",
)
@click.option("--nodes", type=click.IntRange(2, 100), help="Drawn from the seed (3-12) if unset.")
@click.option("--posts", type=click.IntRange(1), help="Drawn from the seed (20-300) if unset.")
@click.option(
    "--faults",
    type=click.Choice(list(RATES)),
    default="heavy",
    show_default=True,
    help="How often messages are lost, processes crash, peers stall or lie, and so on.",
)
@click.option("--mutant", type=click.Choice(list(MUTANTS)), help="Run with a planted bug.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def simulate(ctx: click.Context, /, seed: int, seeds: int, *, as_json: bool, **order: Any) -> None:
    """Simulate a pool on virtual time, with faults drawn from a seed.

    Prints a timeline and ends well when all honest nodes hold the same posts. A seed that fails
    leaves with exit code 1 and prints the command that replays it exactly.
    """
    failed = 0
    for number in range(seed, seed + seeds):
        outcome = World(Order(number, **order)).run()
        failed += outcome.violation is not None
        if as_json:
            click.echo(json.dumps(summary(outcome), ensure_ascii=False))
        elif seeds == 1:
            click.echo("\n".join([*outcome.timeline, ""]))
            _print_summary(outcome)
        elif outcome.violation is not None:
            click.echo(f"seed {number}: {outcome.violation}\n  {outcome.order.command}")
    if seeds > 1 and not as_json:
        click.echo(f"{seeds - failed} of {seeds} seeds ended in equal sets")
    ctx.exit(1 if failed else 0)


def summary(outcome: Outcome) -> dict[str, Any]:
    """Return what programs read of a run."""
    plan, posts = outcome.plan, max(1, outcome.plan.posts)
    cost = outcome.tally.totals()
    return {
        "seed": outcome.order.seed,
        "nodes": plan.nodes,
        "posts": plan.posts,
        "kinds": sorted(plan.kinds),
        "faults": outcome.faults,
        "equal": outcome.violation is None,
        "violation": outcome.violation,
        "command": outcome.order.command,
        "virtual_seconds": outcome.virtual_ms / 1000,
        "totals": cost,
        "by_task": {task: dict(count) for task, count in sorted(outcome.tally.by_task.items())},
        "per_post": {name: round(value / posts, 3) for name, value in cost.items()},
        "timeline_digest": outcome.digest,
    }


def _print_summary(outcome: Outcome) -> None:
    told = summary(outcome)
    faults = ", ".join(f"{kind} {count}" for kind, count in told["faults"].items()) or "none"
    cost = told["per_post"]
    click.echo(
        f"{told['nodes']} nodes, {told['posts']} posts, "
        f"{told['virtual_seconds']:.0f} virtual seconds; faults: {faults}"
    )
    click.echo(
        f"per post: {cost['requests']} requests ({cost['request_bytes']:.0f} bytes), "
        f"{cost['answers']} answers ({cost['answer_bytes']:.0f} bytes), "
        f"{cost['messages']} Celery messages"
    )
    if outcome.violation is None:
        click.echo("equal: all honest nodes hold the same posts")
    else:
        click.echo(f"FAILED: {outcome.violation}\nreplay: {outcome.order.command}")
