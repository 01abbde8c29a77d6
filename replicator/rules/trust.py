"""When a post is authentic and when a sender is who it says; pure, no I/O, no clock.

A post is authentic when
1. every signature listed with it verifies (checked before, in bulk; a failure is the deliverer's);
2. and, where a key is pinned for its origin, a current or retired one of those keys signed it;
3. or, where none is pinned, a pool key that this node holds signed it.
Otherwise its origin is unknown here, and nothing about it is believed.

A sender is admitted when
1. a key pinned as current for it signed the message in the node role; other keys: ``key-changed``;
   a current one whose ``until`` has come is as a retired one, here and for posts;
2. or none is pinned and a pool key of ours co-signed, or the operator added that id;
3. or none is pinned and reading is open; then it may read, and nothing is saved about it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from replicator.errors import ErrorCode, Refusal
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.post import Post

KeyState = Literal["current", "retired", "revoked"]
Oddity = Literal["strange", "lacking"]
"""How the keys that signed differ from those that should: one more, or one less."""


class PinnedKey(Protocol):
    """A key with its state; a current one may have an end (``until``, ms)."""

    @property
    def key(self) -> KeyText: ...

    @property
    def state(self) -> KeyState: ...

    @property
    def until(self) -> int | None: ...


def states_at(pins: Iterable[PinnedKey], now: int) -> dict[KeyText, KeyState]:
    """Return what each key counts for at ``now`` (ms): a current one is retired at its end."""
    return {
        pin.key: "retired"
        if pin.state == "current" and pin.until is not None and pin.until <= now
        else pin.state
        for pin in pins
    }


def current_among(states: Mapping[KeyText, KeyState]) -> frozenset[KeyText]:
    """Return the keys that are current."""
    return frozenset(key for key, state in states.items() if state == "current")


def standing_among(states: Mapping[KeyText, KeyState]) -> frozenset[KeyText]:
    """Return the keys that authenticate posts: all that are not revoked."""
    return frozenset(key for key, state in states.items() if state != "revoked")


def oddity(signers: Collection[KeyText], states: Mapping[KeyText, KeyState]) -> Oddity | None:
    """Return how a known node's signers differ from its current keys: they may have changed.

    ``strange``: one signed that is not current here. ``lacking``: one that is did not sign.
    """
    current = current_among(states)
    if not current.issuperset(signers):
        return "strange"
    return None if current.issubset(signers) else "lacking"


@dataclass(frozen=True, slots=True)
class Signers:
    """A sender and the keys that signed its message, by role."""

    sender: NodeId
    node_keys: tuple[KeyText, ...]
    pool_keys: tuple[KeyText, ...]


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """What this node knows of a sender.

    Args:
        pins: keys pinned for it, with what they count for now. Of a node that was forgotten only
            revoked ones are left: it is unknown, and does not come back under these.
        added_by_operator: the operator added its id.
    """

    pins: Mapping[KeyText, KeyState]
    added_by_operator: bool


@dataclass(frozen=True, slots=True)
class Admission:
    """How a sender was admitted.

    Args:
        source: ``pinned``, or what would pin it: ``pool``, ``operator``; ``open`` pins nothing.
        pools: pools of ours that co-signed the message.
        oddity: of a pinned sender, how its keys differ from the pinned ones.
    """

    source: Literal["pinned", "pool", "operator", "open"]
    pools: frozenset[KeyText]
    oddity: Oddity | None = None


def authentic(
    post: Post, origin_pins: Mapping[KeyText, KeyState], held: Collection[KeyText]
) -> str | None:
    """Return why a post (whose signatures verify) is not authentic, or None where it is.

    Args:
        origin_pins: keys pinned for the post's origin, with what they count for now. Where all are
            revoked (it was forgotten) it is unknown, and these keys sign nothing for it.
        held: pools whose key this node holds.

    Returns:
        ``origin-key``: the origin is known and none of its keys signed. ``unknown-origin``: it is
        not known and no pool of ours signed.
    """
    standing = standing_among(origin_pins)
    if standing:
        return None if any(post.signed_by(key) for key in standing) else "origin-key"
    if not post.signers.isdisjoint(origin_pins):
        return "origin-key"
    return None if pools_of(post, held) else "unknown-origin"


def pools_that_count(
    held: frozenset[KeyText], heirs: Mapping[KeyText, KeyText], proved: Collection[KeyText]
) -> frozenset[KeyText]:
    """Return the pools whose signature on a post counts, for one deliverer.

    A pool that another one took the place of counts only where the deliverer proved that it is a
    member of the latter: whoever has no more than the old key brings nothing in with it.

    Args:
        held: pools that this node is a member of.
        heirs: replaced pools, with the one that stands for each.
        proved: pools whose key co-signed what the deliverer sent.
    """
    return held.union(old for old, heir in heirs.items() if heir in proved)


def pools_of(post: Post, held: Collection[KeyText]) -> frozenset[KeyText]:
    """Return the pools among ``held`` whose key signed the post."""
    return frozenset(signature.key for signature in post.signatures if signature.key in held)


def admit_sender(
    signers: Signers, known: Acquaintance, held: frozenset[KeyText], *, reads_are_open: bool
) -> Admission:
    """Decide about the sender of a message whose signatures all verified.

    Args:
        signers: who sent it, and the keys that signed it.
        known: what this node knows of the sender.
        held: pools whose key this node holds.
        reads_are_open: whether an unknown sender may read.

    Raises:
        Refusal: ``key-changed`` or ``unknown-sender``.
    """
    pools = held.intersection(signers.pool_keys)
    if current_among(known.pins).intersection(signers.node_keys):
        return Admission("pinned", pools, oddity(signers.node_keys, known.pins))
    if standing_among(known.pins):
        raise Refusal(ErrorCode.KEY_CHANGED, f"{signers.sender} is known here under another key")
    if not known.pins.keys().isdisjoint(signers.node_keys):
        raise Refusal(ErrorCode.KEY_CHANGED, f"a key of {signers.sender} was revoked here")
    if pools:
        return Admission("pool", pools)
    if known.added_by_operator:
        return Admission("operator", pools)
    if reads_are_open:
        return Admission("open", pools)
    raise Refusal(ErrorCode.UNKNOWN_SENDER, f"{signers.sender} is not known here")
