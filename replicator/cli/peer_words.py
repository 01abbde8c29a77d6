"""How it stands with peers, in words for people and in values for programs: breakers, progress."""

from collections.abc import Sequence
from typing import Any, Final

from replicator.cli.output import iso, printable
from replicator.errors import WorkUnavailable
from replicator.limits import Limits
from replicator.node.context import Node
from replicator.node.ports import Peer, Progress
from replicator.protocol.ids import NodeId
from replicator.rules.breaker import Breaker, items_max, verdict

_REASON_CHARS_MAX: Final = 160


class Standings:
    """How it stands with some peers: breakers and progress, read in one round trip each.

    Where Redis is away, nothing is known of them.
    """

    def __init__(self, node: Node, peers: Sequence[Peer]) -> None:
        ids = [peer.id for peer in peers]
        self._now = node.clock.now()
        self._limits = node.limits
        self._breakers: dict[NodeId, Breaker] = {}
        self._progresses: dict[NodeId, Progress] = {}
        try:
            self._breakers = node.work.breakers(ids)
            self._progresses = node.work.progresses(ids)
        except WorkUnavailable:
            self.known = False
        else:
            self.known = True

    def breaker(self, peer: Peer) -> Breaker:
        """Return a peer's breaker; closed where it is not known."""
        return self._breakers.get(peer.id, Breaker())

    def state(self, peer: Peer) -> str:
        """Say in one word how it stands with a peer."""
        if peer.paused:
            return "paused"
        return state_of(self.breaker(peer), self._now) if self.known else "unknown"

    def words(self, peer: Peer) -> str:
        """Say in a line how it stands with a peer."""
        if peer.paused:
            return "paused: it is not called"
        if not self.known:
            return "unknown: no Valkey"
        breaker = self.breaker(peer)
        if peer.address is None and not breaker.failures:
            return "no address is known: it calls us, we do not call it"
        return breaker_words(breaker, self._now, self._limits)

    def described(self, peer: Peer) -> dict[str, Any]:
        """Return how it stands with a peer, for programs."""
        progress = self._progresses.get(peer.id)
        return {
            "state": self.state(peer),
            "words": self.words(peer),
            "paused": peer.paused,
            "breaker": breaker_values(self.breaker(peer)) if self.known else None,
            "progress": None if progress is None else progress_values(progress),
        }


def state_of(breaker: Breaker, now: int) -> str:
    """Return ``well``, ``slow``, ``ramping``, ``open``, ``half-open`` or ``busy``."""
    match verdict(breaker, now):
        case "busy":
            return "busy"
        case "probe":
            return "half-open"
        case "open":
            return "half-open" if breaker.probing_until > now else "open"
        case "closed":
            return "slow" if breaker.slow else "ramping" if breaker.ramp else "well"


def breaker_words(breaker: Breaker, now: int, limits: Limits) -> str:
    """Say how calls to a peer go, and when the next one goes out."""
    failed = (
        f"{breaker.end or 'failing'}, {_count(breaker.failures)}, the last one at "
        f"{_time(breaker.failed_at)}: {printable(breaker.reason, _REASON_CHARS_MAX)}"
    )
    match state_of(breaker, now):
        case "busy":
            asked = f"busy: it asked for a pause until {_time(breaker.busy_until)}"
            return f"{asked} ({failed})" if breaker.failures else asked
        case "open":
            return f"{failed}; next try at {_time(breaker.next_at)}"
        case "half-open":
            out = breaker.probing_until > now
            return f"half-open, {'a probe is out' if out else 'to be probed now'}; {failed}"
        case "slow":
            return "slow: called while one of few slots is free"
        case "ramping":
            return f"ramping: batches of {items_max(breaker, limits)} items for now"
    return "well"


def _count(failures: int) -> str:
    return "1 failure" if failures == 1 else f"{failures} failures"


def _time(ms: int) -> str:
    return iso(ms).partition(".")[0].rstrip("Z") + "Z"


def breaker_values(breaker: Breaker) -> dict[str, Any]:
    """Return a breaker for programs; times that are none are null."""
    times = ("failed_at", "next_at", "busy_until", "probing_until")
    return {
        "failures": breaker.failures,
        "end": breaker.end,
        "reason": breaker.reason,
        **{name: iso(at) if (at := getattr(breaker, name)) else None for name in times},
        "slow": breaker.slow,
        "ramp": breaker.ramp,
    }


def progress_values(progress: Progress) -> dict[str, Any]:
    """Return how far catching up has got, with its rate and the time left, where they are known."""
    seconds = (progress.at - progress.started_at) / 1000
    rate = progress.posts / seconds if seconds > 0 else None
    return {
        "started_at": iso(progress.started_at),
        "at": iso(progress.at),
        "posts": progress.posts,
        "remaining": progress.remaining,
        "posts_per_second": None if rate is None else round(rate, 1),
        "seconds_left": round(progress.remaining / rate) if rate else None,
    }


def progress_words(values: dict[str, Any]) -> str:
    """Say how far catching up with a peer has got."""
    said = f"{values['posts']:,} posts so far, {values['remaining']:,} log entries left"
    if values["posts_per_second"] is not None:
        said += f", {values['posts_per_second']:,} posts/s"
    if values["seconds_left"] is not None:
        said += f", about {duration(values['seconds_left'])} left"
    return said


def duration(seconds: int) -> str:
    """Return a length of time with its two largest units."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    named = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(named[:2]) or "0 s"
