"""Who may ask what, and which posts are taken, as pure rules with a reason for each refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from replicator.errors import ErrorCode, NotSupported, Refusal
from replicator.limits import Limits
from replicator.protocol.ids import KeyText
from replicator.protocol.post import Ref

Audience = Literal["pool", "peers", "open"]
"""``pool``: members that co-sign with a pool key of ours. ``peers``: those and every node whose
key is pinned. ``open``: whoever signs; for reading only."""


LASTING: Final = frozenset({"expired", "too-large"})
"""Objections that no later try can lift: an authentic post that meets one is decided against."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which audience each request type serves."""

    pull: Audience = "pool"
    get: Audience = "pool"
    put: Literal["pool", "peers"] = "pool"
    reconcile: Literal["pool", "off"] = "pool"
    roster: Literal["auto", "ask", "off"] = "auto"
    """What becomes of members that others introduce: peers at once, or when the operator agrees;
    ``off`` neither asks nor answers."""

    @property
    def reads_are_open(self) -> bool:
        """Tell whether a sender that is not pinned may read."""
        return "open" in (self.pull, self.get)

    def audience(self, request_type: str) -> Audience:
        """Return the audience of a request type."""
        audiences: Mapping[str, Audience] = {"pull": self.pull, "get": self.get, "put": self.put}
        return audiences[request_type]


@dataclass(frozen=True, slots=True)
class Sender:
    """What admission proved about a sender.

    Args:
        pinned: one of its signing keys is pinned for it, or will be by this message.
        pools: pools of ours whose key co-signed this very message.
    """

    pinned: bool
    pools: frozenset[KeyText]


def visible_scopes(
    policy: Policy, request_type: str, sender: Sender, asked: KeyText | None
) -> frozenset[KeyText] | None:
    """Return the pools a sender may read in, or None for every post.

    Args:
        asked: the pool that the request names as its scope, or None.

    Raises:
        Refusal: ``forbidden`` where the sender may not read at all, or not in that pool.
    """
    audience = policy.audience(request_type)
    everything = audience == "open" or (audience == "peers" and sender.pinned)
    if asked is not None:
        if asked not in sender.pools and not everything:
            raise Refusal(ErrorCode.FORBIDDEN, "the request is not signed by the pool it names")
        return frozenset({asked})
    if everything:
        return None
    if not sender.pools:
        raise Refusal(ErrorCode.FORBIDDEN, f"{request_type} is for members of a shared pool")
    return sender.pools


def check_member(policy: Policy, request_type: str, sender: Sender, pool: KeyText) -> None:
    """Check a request among members of a pool: reconcile and roster.

    Raises:
        NotSupported: this node's operator has turned the request type off.
        Refusal: ``forbidden`` where the message is not signed by the pool it names, or that is no
            pool of ours.
    """
    if {"reconcile": policy.reconcile, "roster": policy.roster}[request_type] == "off":
        raise NotSupported(f"{request_type} is turned off here")
    if pool not in sender.pools:
        raise Refusal(ErrorCode.FORBIDDEN, "the request is not signed by the pool it names")


def check_put(policy: Policy, sender: Sender) -> None:
    """Raise `Refusal` ``forbidden`` where the sender may not offer posts."""
    if sender.pools or (policy.put == "peers" and sender.pinned):
        return
    raise Refusal(ErrorCode.FORBIDDEN, "put is for members of a shared pool")


def ref_objection(ref: Ref, now: int, limits: Limits, floor: int = 0) -> str | None:
    """Return why a post of this ref would not be taken, or None; a reason for a put item.

    Args:
        floor: posts of its origin published before are not kept here (ms).
    """
    if ref.size > limits.post_bytes_max:
        return "too-large"
    if ref.published < floor:
        return "expired"
    if ref.published > now + limits.future_seconds_max * 1000:
        return "future"
    return None


def scope_objection(pools: frozenset[KeyText], sender: Sender, policy: Policy) -> str | None:
    """Return why an authentic post signed by ``pools`` is not taken from this sender, or None."""
    if pools & sender.pools or (policy.put == "peers" and sender.pinned):
        return None
    return "not-in-pool"
