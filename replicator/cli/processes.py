"""One process of a node alone, for machines where systemd or Kubernetes is the supervisor.

Each command becomes the process it starts (it is replaced, not a parent), so that signals and exit
codes are the process's own.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from replicator.adapters.celery_commands import CeleryCommands
from replicator.cli.child import become
from replicator.cli.home import settings_of
from replicator.settings import Settings

GATEWAY: Final = (sys.executable, "-m", "replicator.gateway")


@click.command()
@click.option("--no-pool-keys", is_flag=True, help="Read no private pool key.")
@click.pass_obj
def serve(home: Path, *, no_pool_keys: bool) -> None:
    """Run the gateway: peers on gateway_listen, board applications on local_listen.

    With --no-pool-keys it needs pool-N.pub files only, for a machine that faces the network:
    whoever takes it over does not become a member of the pools. Requests are answered by the
    workers as ever; refusals are signed with the node key. Its node document names no pool, and
    its local API publishes into none: let the board application use another gateway of the node.
    """
    settings = settings_of(home)
    command = (*GATEWAY, "--no-pool-keys") if no_pool_keys else GATEWAY
    _become(settings, command, {"REPLICATOR_HOME": str(settings.home)})


@click.command()
@click.argument("kind", type=click.Choice(("answers", "lanes")))
@click.option("--events", is_flag=True, help="Report tasks to Flower (doubles what a task costs).")
@click.pass_obj
def worker(home: Path, kind: str, *, events: bool) -> None:
    """Run one worker: answers serves peers and ticks, lanes speaks to peers.

    Start more of them, on any number of machines, to scale a node; all need the same home (or
    the same settings and keys), database and Valkey.
    """
    settings = settings_of(home)
    celery = _celery(settings, events=events)
    if kind == "answers":
        command = celery.answers(settings.answers_processes)
    else:
        command = celery.lanes(settings.lanes_threads)
    _become(settings, command, celery.environment())


@click.command()
@click.pass_obj
def beat(home: Path) -> None:
    """Run the beat, which rings the reconciler every second. Exactly one per node."""
    settings = settings_of(home)
    celery = _celery(settings, events=False)
    _become(settings, celery.beat(), celery.environment())


def _celery(settings: Settings, *, events: bool) -> CeleryCommands:
    return CeleryCommands(
        settings.home, settings.node_id, log_level=settings.log_level, events=events
    )


def _become(settings: Settings, command: Sequence[str], variables: Mapping[str, str]) -> None:
    """Replace this process by another program."""
    _ = settings.broker  # refuses to start without one, in our words
    (settings.home / "run").mkdir(mode=0o700, exist_ok=True)
    become(settings.home, command, variables)
