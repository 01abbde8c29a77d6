"""What `replicator doctor` checks: each check looks at one thing and says what to do about it.

A check never repairs and stores nothing.
"""

import os
import shutil
import socket
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from replicator.adapters.redis.fitness import examine
from replicator.adapters.sql.migrate import check_schema
from replicator.adapters.valkey import WORK_URL_FILE
from replicator.cli.findings import Check, Finding, Subject
from replicator.cli.founding import TOKEN_FILE
from replicator.cli.key_checks import keys
from replicator.cli.output import counted
from replicator.cli.peer_checks import peers
from replicator.cli.quarantine import waiting_totals, waiting_words
from replicator.cli.up_state import up_state
from replicator.errors import WorkUnavailable
from replicator.node.dead_letters import dead_letters
from replicator.settings import CONFIG_NAME

_LOOPBACK: Final = ("127.", "localhost:", "[::1]")
_DISK_WARN_BYTES: Final = 1024**3
_DISK_FAIL_BYTES: Final = 100 * 1024**2
_NO_ROOM: Final = "make room on the disk, raise disk_bytes_max, or keep less (keep_days)"
_WHO_IS_IT: Final = "see: replicator posts quarantine; add an origin whose posts you want"
_BROKER_SECONDS: Final = 3.0
_PORTS: Final = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}


def configuration(subject: Subject) -> Iterator[Finding]:
    """Check what settings mean together."""
    settings = subject.settings
    yield Finding("configuration", "ok", f"{settings.home / CONFIG_NAME}: {settings.node_id}")
    if settings.address is None:
        yield Finding(
            "configuration",
            "warn",
            "peers are not told where this node is",
            "set address in replicator.toml, or let others add this node by hand",
        )
    elif settings.address.startswith("http://") and not _is_local(settings.address[7:]):
        yield Finding(
            "configuration",
            "warn",
            f"{settings.address} is not protected by TLS",
            "put a TLS proxy before the gateway and set address to its https:// URL",
        )
    if not _is_local(settings.local_listen):
        yield Finding(
            "configuration",
            "warn",
            f"the local API listens on {settings.local_listen}: its token travels in the clear",
            "bind local_listen to loopback, or let only the board application reach it",
        )
    if not _is_local(settings.flower_listen):
        yield Finding(
            "configuration",
            "warn",
            f"Flower would listen on {settings.flower_listen}: its /metrics asks for no password",
            "bind flower_listen to loopback, and put a proxy with a password before it",
        )


def _is_local(listen: str) -> bool:
    return listen.startswith(_LOOPBACK)


def files(subject: Subject) -> Iterator[Finding]:
    """Check that secrets are for the owner's eyes only."""
    home = subject.settings.home
    for path in (home / TOKEN_FILE, home / "run" / WORK_URL_FILE, subject.settings.keys_folder):
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding("files", "fail", f"others may read {path}", f"chmod go= {path}")


def database(subject: Subject) -> Iterator[Finding]:
    """Check that the database answers and has this version's tables."""
    check_schema(subject.settings.database_url)
    if subject.node is not None:
        totals = subject.node.store.totals()
        yield Finding(
            "database", "ok", f"{counted(totals.posts, 'post')}, {counted(totals.gaps, 'gap')}"
        )
        waiting = waiting_totals(subject.node)
        if waiting["posts"]:
            yield Finding("quarantine", "warn", waiting_words(waiting), _WHO_IS_IT)
        if totals.full:
            text = "there is no room: peers are told to come later, publishing fails (507)"
            yield Finding("room", "fail", text, _NO_ROOM)


def work(subject: Subject) -> Iterator[Finding]:
    """Check that the work state and the broker answer."""
    settings = subject.settings
    if settings.work_url is None:
        yield Finding("work", "warn", "no Valkey runs for this node yet", "start it: replicator up")
        return
    if subject.node is not None:
        try:
            yield from _server(settings.work)
            queued = sum(subject.node.work.queued().values())
            yield Finding("work", "ok", f"{counted(queued, 'post')} to fetch")
            dead = len(dead_letters(subject.node))
            malformed = subject.node.work.count_malformed()
        except WorkUnavailable as error:
            advice = "start the node with replicator up, or look at work_url (server, password)"
            yield Finding("work", "fail", str(error), advice)
            return
        if dead:
            text = f"{counted(dead, 'dead letter')}: posts that nobody who was asked gave"
            yield Finding("work", "warn", text, "see: replicator queue dead")
        if malformed:
            entries = counted(malformed, "malformed entry", "malformed entries")
            text = f"{entries} stood in the queues: who else can write to the broker?"
            yield Finding("work", "warn", text, "see: replicator queue malformed")
    if settings.broker_url is not None:
        yield _broker(settings.broker_url)


def _server(url: str) -> Iterator[Finding]:
    """Check that the server has what a node needs of it, and forgets nothing by itself."""
    server = examine(url)
    if server.lacks:
        text = f"{server.name} has no {', '.join(server.lacks)}"
        yield Finding("work", "fail", text, "run Valkey, or Redis 7 or newer")
    if server.evicts:
        text = f"{server.name} drops what it should keep when its memory is full"
        yield Finding("work", "warn", text, "set maxmemory-policy noeviction in its configuration")
    yield Finding("work", "ok", f"{server.name} answers")


def _broker(url: str) -> Finding:
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or _PORTS.get(parts.scheme, 5672)
    try:
        with socket.create_connection((host, port), timeout=_BROKER_SECONDS):
            return Finding("broker", "ok", f"{parts.scheme} at {host}:{port} takes connections")
    except OSError as error:
        advice = "start the broker, or look at broker_url"
        return Finding("broker", "fail", f"{host}:{port}: {error}", advice)


def processes(subject: Subject) -> Iterator[Finding]:
    """Check that `up`, where it runs, has all its children."""
    state = up_state(subject.settings.home)
    if state.pid is None:
        yield Finding(
            "processes",
            "warn",
            "replicator up does not run here",
            "start it, unless another supervisor runs serve, worker and beat",
        )
        return
    logs = subject.settings.home / "log"
    for name, pid in state.children.items():
        if pid is None:
            yield Finding("processes", "fail", f"{name} is not running", f"see {logs / name}.log")
        elif state.starts[name] > 1:
            again = f"{name} was started {state.starts[name]} times"
            yield Finding("processes", "warn", again, f"see {logs / name}.log")
    if all(pid is not None for pid in state.children.values()):
        yield Finding("processes", "ok", f"{len(state.children)} run under up ({state.pid})")


def disk(subject: Subject) -> Iterator[Finding]:
    """Check that there is room for more posts."""
    free = shutil.disk_usage(subject.settings.home).free
    text = f"{free / 1024**3:,.1f} GiB free at {subject.settings.home}"
    if free < _DISK_FAIL_BYTES:
        yield Finding("disk", "fail", text, "make room: nothing can be stored soon")
    elif free < _DISK_WARN_BYTES:
        yield Finding("disk", "warn", text, "make room before it is full")
    else:
        yield Finding("disk", "ok", text)
    if not os.access(subject.settings.home, os.W_OK):
        yield Finding("disk", "fail", "the home cannot be written", "run as its owner")


CHECKS: Final[dict[str, Check]] = {
    "configuration": configuration,
    "files": files,
    "keys": keys,
    "database": database,
    "work": work,
    "processes": processes,
    "disk": disk,
    "peers": peers,
}
"""All checks, in the order of the report."""
