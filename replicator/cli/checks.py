"""What `replicator doctor` checks: each check looks at one thing and says what to do about it.

A check never repairs and stores nothing. An error of the project that a check runs into is its
finding; the other checks still run.
"""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from replicator.adapters.sql.migrate import check_schema
from replicator.adapters.valkey import WORK_URL_FILE
from replicator.cli.founding import TOKEN_FILE
from replicator.cli.up_state import up_state
from replicator.errors import ReplicatorError
from replicator.node.contact import introduce
from replicator.node.context import Node
from replicator.node.ports import Peer
from replicator.protocol.messages import PROTOCOL_VERSION
from replicator.protocol.node_document import keys_of
from replicator.settings import CONFIG_NAME, Settings

Level = Literal["ok", "warn", "fail"]
_LOOPBACK: Final = ("127.", "localhost:", "[::1]")
_DISK_WARN_BYTES: Final = 1024**3
_DISK_FAIL_BYTES: Final = 100 * 1024**2
_BROKER_SECONDS: Final = 3.0
_PORTS: Final = {"amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``advice`` says what to do where something is wrong."""

    check: str
    level: Level
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at; ``node`` is None where it cannot be opened."""

    settings: Settings
    node: Node | None


Check = Callable[[Subject], Iterator[Finding]]


def guarded(name: str, check: Check, subject: Subject) -> list[Finding]:
    """Run one check; an error it raises is its last finding."""
    found: list[Finding] = []
    try:
        found += check(subject)
    except (ReplicatorError, OSError) as error:
        found.append(Finding(name, "fail", " ".join(str(error).split())))
    return found


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


def _is_local(listen: str) -> bool:
    return listen.startswith(_LOOPBACK)


def files(subject: Subject) -> Iterator[Finding]:
    """Check that secrets are for the owner's eyes only, and that keys can be read."""
    home = subject.settings.home
    for path in (home / TOKEN_FILE, home / "run" / WORK_URL_FILE, subject.settings.keys_folder):
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding("files", "fail", f"others may read {path}", f"chmod go= {path}")
    if subject.node is None:
        return
    identity = subject.node.identity
    text = f"{len(identity.node_keys)} node keys, {len(identity.pool_keys)} pool keys"
    if identity.pool_keys:
        yield Finding("keys", "ok", text)
    else:
        advice = "replicator keys pool new, or keys pool import with the pool's key"
        yield Finding("keys", "warn", f"{text}: this node is in no pool", advice)


def database(subject: Subject) -> Iterator[Finding]:
    """Check that the database answers and has this version's tables."""
    check_schema(subject.settings.database_url)
    if subject.node is not None:
        totals = subject.node.store.totals()
        yield Finding("database", "ok", f"{totals.posts:,} posts, {totals.gaps:,} gaps")


def work(subject: Subject) -> Iterator[Finding]:
    """Check that the work state and the broker answer."""
    settings = subject.settings
    if settings.work_url is None:
        yield Finding("work", "warn", "no Valkey runs for this node yet", "start it: replicator up")
        return
    if subject.node is not None:
        try:
            queued = sum(subject.node.work.queued().values())
            dead = len(subject.node.work.dead(1))
        except ReplicatorError as error:
            advice = "start the node with replicator up, or look at work_url"
            yield Finding("work", "fail", str(error), advice)
            return
        yield Finding("work", "ok", f"Redis or Valkey answers; {queued:,} posts to fetch")
        if dead:
            yield Finding("work", "warn", "there are dead letters", "see: replicator status")
    if settings.broker_url is not None:
        yield _broker(settings.broker_url)


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


def peers(subject: Subject) -> Iterator[Finding]:
    """Check every peer: reached, under the pinned key, in a common pool, clocks together."""
    node = subject.node
    if node is None:
        return
    known = node.store.peers()
    if not known:
        yield Finding("peers", "warn", "no peers", "replicator peers add URL")
    for peer in known:
        try:
            yield from _peer(node, peer)
        except ReplicatorError as error:
            yield Finding("peers", "fail", f"{peer.id}: {error}", "is it up, is its address right?")


def _peer(node: Node, peer: Peer) -> Iterator[Finding]:
    if peer.address is None:
        yield Finding("peers", "ok", f"{peer.id}: no address, it speaks to us")
        return
    introduction = introduce(node, peer.address)
    document = introduction.document
    if document.id != peer.id:
        text = f"{peer.id}: at its address is {document.id}"
        yield Finding("peers", "fail", text, "replicator peers add ID with the right address")
        return
    pinned = set(introduction.pinned)
    if pinned and not pinned & set(keys_of(document)):
        text = f"{peer.id} has other keys than those pinned"
        yield Finding("peers", "fail", text, f"ask its operator, then: peers trust {peer.id}")
    elif PROTOCOL_VERSION not in document.protocols:
        spoken = ", ".join(document.protocols)
        yield Finding("peers", "fail", f"{peer.id} speaks {spoken}", "update the older node")
    elif not node.identity.pools & set(document.pools):
        text = f"{peer.id} shares no pool with this node"
        yield Finding("peers", "warn", text, "one of you needs the other's pool key")
    else:
        yield Finding("peers", "ok", f"{peer.id} answers at {peer.address}")
    yield _clock(node, peer, document.time)


def _clock(node: Node, peer: Peer, time_ms: int) -> Finding:
    """Compare clocks by the time in the peer's signed document; the way there is not counted."""
    apart = (time_ms - node.clock.now()) / 1000
    text = f"the clock of {peer.id} is {abs(apart):.1f} s {'ahead' if apart > 0 else 'behind'}"
    advice = "let both machines keep time by NTP"
    window = node.limits.window_seconds
    if abs(apart) > window:
        return Finding("clock", "fail", text, advice)
    return Finding("clock", "warn" if abs(apart) > window / 4 else "ok", text, advice)


CHECKS: Final[dict[str, Check]] = {
    "configuration": configuration,
    "files": files,
    "database": database,
    "work": work,
    "processes": processes,
    "disk": disk,
    "peers": peers,
}
"""All checks, in the order of the report."""
