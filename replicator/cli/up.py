"""`replicator up`: all processes of one node, kept running until it is told to stop.

Valkey first, where no work URL is set, then the gateway, both workers and the beat. Children learn
everything from the home; only the home is on their command lines.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom
from typing import Final

import click

from replicator.adapters.celery_commands import CeleryCommands
from replicator.adapters.loopback import free_ports
from replicator.adapters.valkey import WORK_URL_FILE, EmbeddedValkey, embedded
from replicator.cli.child import Child, Program
from replicator.cli.flower import PASSWORD_FILE, flower_program
from replicator.cli.home import settings_of
from replicator.cli.key_opening import require_keys_that_open
from replicator.cli.processes import GATEWAY
from replicator.cli.supervisor import Supervisor
from replicator.errors import ConfigurationError
from replicator.settings import Settings

_VALKEY_SECONDS: Final = 15.0
_PING_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.02
_GRACE_SECONDS: Final = 3.5
_VALKEY_GRACE_SECONDS: Final = 0.8
"""Both together stay below the five seconds that a stop may take."""

_SMALL: Final = {"MALLOC_ARENA_MAX": "2"}
"""glibc keeps a heap per thread otherwise, and what a thread freed is not the next one's."""


@click.command()
@click.option("--flower", is_flag=True, help="Also run the Flower dashboard, with its password.")
@click.pass_obj
def up(home: Path, *, flower: bool) -> None:
    """Run everything of this node: Valkey, gateway, workers and beat.

    An embedded Valkey is started where no work_url is set. A child that dies is started again,
    with growing pauses. Ctrl-C or SIGTERM stops the node within five seconds; whatever happens to
    this process, none of its children outlives it. Output of the children is in HOME/log.
    """
    home = home.resolve()
    with _only_one(home):
        valkey = _valkey_of(home)
        settings = settings_of(home)
        supervisor = Supervisor(home, _facts(settings, valkey), _say)
        try:
            if valkey is not None:
                _start_valkey(supervisor, valkey)
            for program in programs(settings, flower=flower):
                supervisor.start(program)
            _say(f"{settings.node_id} is up: peers at {settings.gateway_listen}")
            if flower:
                _say(
                    f"Flower: http://{settings.flower_listen}/ ({PASSWORD_FILE} in {home / 'run'})"
                )
            supervisor.run()
        finally:
            supervisor.stop()


def programs(settings: Settings, *, flower: bool) -> Iterator[Program]:
    """Yield the processes of a node besides Valkey, in the order they are started."""
    celery = CeleryCommands(
        settings.home, settings.node_id, log_level=settings.log_level, events=flower
    )
    environment = _SMALL | celery.environment()
    yield Program("gateway", GATEWAY, environment, _GRACE_SECONDS)
    for name, command in (
        ("answers", celery.answers(settings.answers_processes)),
        ("lanes", celery.lanes(settings.lanes_threads)),
        ("beat", celery.beat()),
    ):
        yield Program(name, tuple(command), environment, _GRACE_SECONDS)
    if flower:
        yield flower_program(settings)


def _valkey_of(home: Path) -> EmbeddedValkey | None:
    """Return the server this node needs of its own, configured; None where a work URL is set."""
    server = embedded(home, free_ports(1, SystemRandom())[0])
    # What the last run left there would look like a setting.
    (home / "run" / WORK_URL_FILE).unlink(missing_ok=True)
    if settings_of(home).work_url is not None:
        return None
    server.write()
    return server


def _start_valkey(supervisor: Supervisor, server: EmbeddedValkey) -> None:
    program = Program("valkey", server.command(), {}, _VALKEY_GRACE_SECONDS)
    child = supervisor.start(program)
    deadline = time.monotonic() + _VALKEY_SECONDS
    while not server.answers(_PING_SECONDS):
        _check_valkey(child, deadline)
        if supervisor.stop_asked(_LOOK_SECONDS):
            raise click.Abort


def _check_valkey(child: Child, deadline: float) -> None:
    if child.has_ended():
        raise ConfigurationError(f"Valkey ended at once; see {child.log}")
    if time.monotonic() > deadline:
        raise ConfigurationError(f"Valkey does not answer; see {child.log}")


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the home's lock: two supervisors of one home would start everything twice."""
    require_keys_that_open(settings_of(home))  # refuses a directory that is no node's home too
    run = home / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    with (run / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"the node in {home} is up already") from error
        yield


def _facts(settings: Settings, valkey: EmbeddedValkey | None) -> dict[str, object]:
    return {
        "node_id": settings.node_id,
        "started_at": int(time.time() * 1000),
        "gateway_listen": settings.gateway_listen,
        "local_listen": settings.local_listen,
        "valkey_port": None if valkey is None else valkey.port,
    }


def _say(line: str) -> None:
    try:
        click.echo(line)
    except BrokenPipeError:
        # Whoever read our output is gone; the node goes on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
