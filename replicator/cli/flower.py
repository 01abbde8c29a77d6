"""`replicator flower`: the dashboard, always behind a password of its own.

User and password stand in ``run/flower-password`` of the home, made on first use, readable by the
owner only; they never stand on a command line.
"""

import secrets
import stat
from pathlib import Path
from typing import Final

import click

from replicator.adapters.celery_commands import CeleryCommands
from replicator.adapters.valkey import write_private
from replicator.cli.child import Program, become
from replicator.cli.home import settings_of
from replicator.errors import ConfigurationError
from replicator.settings import Settings

PASSWORD_FILE: Final = "flower-password"  # noqa: S105  # a name, no password
_USER: Final = "operator"


@click.command()
@click.pass_obj
def flower(home: Path) -> None:
    """Run the Flower dashboard of this node, behind a password, on flower_listen.

    User and password are in HOME/run/flower-password. Workers report to it when they were started
    with events: replicator up --flower, or replicator worker KIND --events.
    """
    settings = settings_of(home)
    _ = settings.broker  # refuses to start without one, in our words
    program = flower_program(settings)
    click.echo(f"Flower: http://{settings.flower_listen}/ (user and password: {_path(settings)})")
    become(settings.home, program.command, program.environment)


def flower_program(settings: Settings) -> Program:
    """Return the program that runs Flower for a node; makes its password where there is none.

    Raises:
        ConfigurationError: ``flower_listen`` is not ``host:port``, or the password file is not
            fit to use.
    """
    host, _, port = settings.flower_listen.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError("flower_listen: host:port is needed")
    celery = CeleryCommands(settings.home, settings.node_id, settings.log_level, events=True)
    user, _, password = _password(settings).partition(":")
    command = celery.flower(host, int(port))
    return Program("flower", tuple(command), celery.flower_environment(user, password))


def _path(settings: Settings) -> Path:
    return settings.home / "run" / PASSWORD_FILE


def _password(settings: Settings) -> str:
    path = _path(settings)
    if not path.exists():
        write_private(path, f"{_USER}:{secrets.token_urlsafe(18)}\n")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(f"{path} can be read by others: chmod 600 {path}")
    text = path.read_text(encoding="utf-8").strip()
    user, _, password = text.partition(":")
    if not user or not password:
        raise ConfigurationError(f"{path} must hold user:password; remove it to have one made")
    return text
