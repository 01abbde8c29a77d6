"""`replicator demo`: shows a pool at work, and tells by its exit code whether it did."""

import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Final

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from replicator.adapters.valkey import find_server
from replicator.cli.demo_node import DemoFailed
from replicator.cli.demo_play import FIRST, NODES, WHILE_DOWN, Outcome, Play, found_pool
from replicator.cli.demo_posts import Draft, generate, split
from replicator.cli.output import emit, json_option
from replicator.errors import ConfigurationError

_DEADLINE_SECONDS: Final = 75.0
_POSTS_PER_SECOND_MIN: Final = 100
"""What a larger set of posts adds to the deadline."""
_LINE_SECONDS: Final = 2.0
_TABLE_SECONDS: Final = 0.2


@click.command()
@click.option(
    "--posts",
    "file",
    type=click.Path(exists=True, dir_okay=False),
    help="Publish the posts of this file (JSON lines, also .gz), split by thread.",
)
@click.option(
    "--home",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the nodes in this directory, which must be empty; else a temporary one is used.",
)
@click.option("--seed", default="replicator", show_default=True, help="Seed of generated posts.")
@click.option("--deadline", type=click.FloatRange(1), help="Seconds after which it has failed.")
@json_option
def demo(
    file: str | None, folder: Path | None, seed: str, deadline: float | None, *, as_json: bool
) -> None:
    """Run a pool of three nodes on this machine, kill one of them, and see it come back.

    Three real nodes are started, each with gateway, workers, beat, Valkey and SQLite. At least
    1,000 posts are published at each; then every process of the third is killed while posts flow.
    At least 500 more are published, the node is started again, and the demo ends when all three
    databases hold exactly the published posts. The exit code is 0 only then.
    """
    check_machine()
    shares = _shares(file, seed)
    total = sum(len(share) for share in shares)
    ordinary = NODES * FIRST + (NODES - 1) * WHILE_DOWN
    seconds = deadline or _DEADLINE_SECONDS + max(0, total - ordinary) / _POSTS_PER_SECOND_MIN
    with _folder(folder) as place:
        outcome = _play(place, shares, seconds)
    _tell(outcome, as_json=as_json)
    if outcome.problem is not None:
        raise DemoFailed(outcome.problem)


def check_machine() -> None:
    """Say what this machine lacks.

    Raises:
        ConfigurationError: it is no Linux, or no Valkey runs here.
    """
    if sys.platform != "linux":
        raise ConfigurationError(f"Linux is needed, this is {platform.system()}")
    server = find_server()
    try:
        subprocess.run((str(server), "--version"), check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(
            f"{server} does not run here: it needs Linux on x86-64 with glibc 2.28 or later, this"
            f" is {platform.machine()} with {' '.join(platform.libc_ver()) or 'no glibc'}"
        ) from error


def _shares(file: str | None, seed: str) -> list[list[Draft]]:
    """Return each node's posts: the file's, and generated ones where those are too few."""
    shares: list[list[Draft]] = split(file, NODES) if file else [[] for _ in range(NODES)]
    for index, share in enumerate(shares):
        least = FIRST if index == NODES - 1 else FIRST + WHILE_DOWN
        share += generate(f"{seed}-{index + 1}", max(0, least - len(share)))
    return shares


def _play(place: Path, shares: list[list[Draft]], seconds: float) -> Outcome:
    nodes = []
    try:
        nodes = found_pool(place)
        with _screen() as screen:
            play = Play(nodes, shares, seconds, screen.show)
            outcome = play.run()
        for node in nodes:
            node.ask_to_stop()
        return outcome
    finally:
        for node in nodes:
            node.close()


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """Give the directory of the nodes: a temporary one is kept where the demo failed."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(given.iterdir()):
            raise ConfigurationError(f"{given} is not empty")
        yield given.resolve()
        return
    place = Path(tempfile.mkdtemp(prefix="replicator-demo-"))
    try:
        yield place
    except DemoFailed:
        click.echo(f"the nodes' logs are kept in {place}", err=True)
        raise
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _screen() -> Iterator["_Screen"]:
    """Give what shows the play; SIGTERM ends it like Ctrl-C, so that it cleans up."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    console = Console(stderr=True)
    try:
        if console.is_terminal:
            # No thread of its own: nodes are started from a process with one thread.
            with Live(console=console, auto_refresh=False) as live:
                yield _Screen(live)
        else:
            yield _Screen(None)
    finally:
        signal.signal(signal.SIGTERM, before)


class _Screen:
    """Shows the play: a table that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, live: Live | None) -> None:
        self._live = live
        self._due = 0.0
        self._phase = ""

    def show(self, play: Play) -> None:
        """Show how the play stands, not more often than people can read."""
        if play.seconds < self._due and play.phase == self._phase:
            return
        self._phase = play.phase
        self._due = play.seconds + (_LINE_SECONDS if self._live is None else _TABLE_SECONDS)
        if self._live is not None:
            self._live.update(_table(play), refresh=True)
            return
        counts = "  ".join(f"{node.site.node_id} {node.count():,}" for node in play.nodes)
        click.echo(f"{play.seconds:5.1f} s  {counts}  {play.phase}", err=True)


def _table(play: Play) -> Table:
    megabytes = play.memory_bytes // 1_000_000
    table = Table(
        title=f"{play.seconds:.1f} s: {play.phase} ({megabytes:,} MB in all)", min_width=72
    )
    for title in ("node", "state", "published here", "held"):
        table.add_column(title, justify="left" if title in ("node", "state") else "right")
    for node in play.nodes:
        state = "up" if node.is_up else "dead"
        published, held = f"{len(node.published):,}", f"{node.count():,}"
        table.add_row(node.site.node_id, state, published, held)
    return table


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        members = asdict(outcome)
        emit(
            {
                "nodes": list(members.pop("counts")),
                "posts": members.pop("posts"),
                "counts": outcome.counts,
                "posts_per_second": round(outcome.posts_per_second, 1),
                **members,
            }
        )
        return
    for node, digest in outcome.digests.items():
        click.echo(f"{node}: {outcome.counts[node]:,} posts, digest {digest}")
    if outcome.problem is None:
        click.echo(
            f"equal after {outcome.seconds:.1f} s: {outcome.posts:,} posts, "
            f"{outcome.posts_per_second:,.0f} posts/s from the first publish on, "
            f"{outcome.memory_bytes_max / 1e6:,.0f} MB at most in all processes"
        )
        click.echo(
            f"{outcome.killed_processes} processes were killed with {outcome.missing_when_killed:,}"
            f" posts still on their way; {outcome.published_while_down:,} more came meanwhile"
        )
