"""The command `replicator`: its table of commands, its options for all of them, its exit codes.

Exit codes: 0 done, 1 it did not work (one line on standard error says what and what to do), 2 the
command line itself is wrong. An error of the project is one line; anything else is a bug and keeps
its traceback. Imports of commands happen on use, so that ``--help`` is quick.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from replicator.cli.lazy import Entry, LazyGroup
from replicator.errors import ReplicatorError, WorkUnavailable

_HERE: Final = "replicator.cli"
_IS_IT_UP: Final = "is the node up? start it: replicator up; if it is: replicator doctor"
COMMANDS: Final = {
    "init": Entry(f"{_HERE}.init:init", "Make a node: home, keys, settings, database."),
    "keys": Entry(f"{_HERE}.keys:keys", "Show, make and take back node keys and pool keys."),
    "peers": Entry(f"{_HERE}.peers:peers", "Add, show, pause, probe and forget peers."),
    "queue": Entry(f"{_HERE}.queue:queue", "Show what waits to be fetched, and dead letters."),
    "publish": Entry(f"{_HERE}.publish:publish", "Publish posts from a file of JSON lines."),
    "posts": Entry(f"{_HERE}.posts:posts", "List, show, export and block posts."),
    "pull": Entry(f"{_HERE}.raw:pull", "Ask a live peer which posts it holds."),
    "get": Entry(f"{_HERE}.raw:get", "Ask a live peer for posts by id or digest."),
    "put": Entry(f"{_HERE}.raw:put", "Give posts of this node to a live peer."),
    "verify": Entry(f"{_HERE}.verify:verify", "Tell whether a peer holds the same posts."),
    "up": Entry(f"{_HERE}.up:up", "Run everything of this node, and keep it running."),
    "serve": Entry(f"{_HERE}.processes:serve", "Run the gateway alone."),
    "worker": Entry(f"{_HERE}.processes:worker", "Run one kind of worker alone."),
    "beat": Entry(f"{_HERE}.processes:beat", "Run the clock of periodic tasks alone."),
    "flower": Entry(f"{_HERE}.flower:flower", "Run the Flower dashboard."),
    "policy": Entry(f"{_HERE}.policy:policy", "Show who may ask what and which posts are taken."),
    "status": Entry(f"{_HERE}.status:status", "Show what this node holds and does."),
    "doctor": Entry(f"{_HERE}.doctor:doctor", "Check everything this node needs."),
    "migrate": Entry(f"{_HERE}.init:migrate", "Bring the database to this version's schema."),
    "demo": Entry(f"{_HERE}.demo:demo", "Run a pool of three nodes on this machine."),
    "simulate": Entry(
        "replicator.simulator.command:simulate", "Simulate a pool with faults, from a seed."
    ),
}


class _Root(LazyGroup):
    """The group that turns the project's errors into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WorkUnavailable as error:
            raise click.ClickException(f"{_one_line(error)} ({_IS_IT_UP})") from error
        except ReplicatorError as error:
            raise click.ClickException(_one_line(error)) from error
        except BrokenPipeError:
            # The reader of our output has gone (``| head``); nothing is left to say.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
            ctx.exit(1)
        except OSError as error:
            raise click.ClickException(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@click.command(
    cls=_Root,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--home",
    envvar="REPLICATOR_HOME",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="the current directory",
    help="Directory of the node: its settings, keys, database and logs.",
)
@click.version_option(package_name="replicator", message="replicator %(version)s")
@click.pass_context
def root(ctx: click.Context, home: Path) -> None:
    """Keep signed posts the same on every server of a pool.

    \b
    A first node:
      replicator --home node1 init node1.example
      replicator --home node1 keys pool new
      replicator --home node1 up
    A second one joins with the same pool key (keys pool export, keys pool import)
    and the first one's address (peers add URL).

    Settings are read from replicator.toml in the home and from REPLICATOR_* variables; the latter
    win. To see a pool at work without setting anything up: replicator demo.
    """
    ctx.obj = home.absolute()


def main() -> None:
    """Run the command line and leave with its exit code."""
    root.main(prog_name="replicator")
