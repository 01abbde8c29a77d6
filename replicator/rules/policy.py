"""Who may ask what, as one list of pure rules with a reason for each refusal.

`ASKING` is read from the top; the first rule that refuses decides. Which posts are taken stands in
`rules.taking`; the whole order, with what comes before either, in `rules.rulebook`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from replicator.errors import ErrorCode, NotSupported, Refusal
from replicator.protocol.ids import KeyText
from replicator.rules.rule import Rule, first_refusing

Audience = Literal["pool", "peers", "open"]
"""``pool``: members that co-sign with a pool key of ours. ``peers``: those and every node whose
key is pinned. ``open``: whoever signs; for reading only."""


BLOCKED: Final = "blocked"
"""The reason of what the operator took out."""

EXPIRED: Final = "expired"
"""The reason of what is below a floor."""

LASTING: Final = frozenset({EXPIRED, "too-large", BLOCKED})
"""Objections that no later try can lift: an authentic post that meets one is decided against."""

OFF: Final = "not-supported"
"""The reason of a request type that the operator turned off; its answer is *not supported*."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which audience each request type serves."""

    pull: Audience = "pool"
    get: Audience = "pool"
    put: Literal["pool", "peers"] = "pool"
    reconcile: Literal["pool", "peers", "open", "off"] = "pool"
    """Who may compare sets within a pool of ours. Beyond its members that is only who may read
    everything anyway: comparing names digests."""
    roster: Literal["auto", "ask", "off"] = "auto"
    """What becomes of members that others introduce: peers at once, or when the operator agrees;
    ``off`` neither asks nor answers. Only members of the pool it names may ask."""

    @property
    def reads_are_open(self) -> bool:
        """Tell whether a sender that is not pinned may read."""
        return "open" in (self.pull, self.get)

    def audience(self, request_type: str) -> str:
        """Return the audience of a request type; ``off`` where it is turned off."""
        audiences: Mapping[str, str] = {
            "pull": self.pull,
            "get": self.get,
            "put": self.put,
            "reconcile": self.reconcile,
            "roster": "off" if self.roster == "off" else "pool",
        }
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


@dataclass(frozen=True, slots=True)
class Asking:
    """A request as the rules see it.

    Args:
        policy: the operator's audiences.
        type: of the request, one that this program knows.
        sender: who asks.
        scope: the pool that the request names, or None.
        held: pools whose key this node holds.
    """

    policy: Policy
    type: str
    sender: Sender
    scope: KeyText | None = None
    held: frozenset[KeyText] = frozenset()

    def admits(self, request_type: str) -> bool:
        """Tell whether the sender is in the audience of a type, be it in no pool of ours."""
        audience = self.policy.audience(request_type)
        return audience == "open" or (audience == "peers" and self.sender.pinned)

    @property
    def reads_everything(self) -> bool:
        """Tell whether the sender may read every post held here, by either type."""
        return self.admits("pull") and self.admits("get")

    @property
    def compares_as_guest(self) -> bool:
        """Tell whether a sender outside the pool may compare sets in it."""
        return self.admits("reconcile") and self.reads_everything


_READING: Final = ("pull", "get")
_AMONG_MEMBERS: Final = ("reconcile", "roster")

ASKING: Final[tuple[Rule[Asking], ...]] = (
    Rule(
        "turned-off",
        OFF,
        "A request type that the operator turned off is not answered.",
        ("reconcile", "roster"),
        lambda asked: asked.policy.audience(asked.type) == "off",
    ),
    Rule(
        "reading",
        ErrorCode.FORBIDDEN,
        "Reading is for members of a shared pool, and for whom pull and get name besides.",
        ("pull", "get"),
        lambda asked: (
            asked.type in _READING
            and asked.scope is None
            and not asked.sender.pools
            and not asked.admits(asked.type)
        ),
    ),
    Rule(
        "reading-scope",
        ErrorCode.FORBIDDEN,
        "Who reads within a pool that it names signs with that pool's key, or may read everything.",
        ("pull",),
        lambda asked: (
            asked.type in _READING
            and asked.scope is not None
            and asked.scope not in asked.sender.pools
            and not asked.admits(asked.type)
        ),
    ),
    Rule(
        "giving",
        ErrorCode.FORBIDDEN,
        "Posts are taken from members of a shared pool, and from whom put names besides.",
        ("put",),
        lambda asked: asked.type == "put" and not asked.sender.pools and not asked.admits("put"),
    ),
    Rule(
        "pool-of-ours",
        ErrorCode.FORBIDDEN,
        "Sets are compared, and members introduced, in pools whose key this node holds.",
        (),
        lambda asked: asked.type in _AMONG_MEMBERS and asked.scope not in asked.held,
    ),
    Rule(
        "comparing",
        ErrorCode.FORBIDDEN,
        "Sets are compared with members of the pool, and with whom reconcile names besides, as "
        "long as pull and get let it read everything.",
        ("reconcile", "pull", "get"),
        lambda asked: (
            asked.type == "reconcile"
            and asked.scope not in asked.sender.pools
            and not asked.compares_as_guest
        ),
    ),
    Rule(
        "introducing",
        ErrorCode.FORBIDDEN,
        "Members are introduced to members of the same pool only.",
        ("roster",),
        lambda asked: asked.type == "roster" and asked.scope not in asked.sender.pools,
    ),
)
"""Who may ask what, first match decides; the envelope was verified and the sender is known."""


def check_asking(asked: Asking) -> None:
    """Apply `ASKING`.

    Raises:
        NotSupported: this node's operator has turned the request type off.
        Refusal: ``forbidden``; the message is the sentence of the rule.
    """
    rule = first_refusing(ASKING, asked)
    if rule is None:
        return
    if rule.reason == OFF:
        raise NotSupported(f"{asked.type} is turned off here")
    raise Refusal(ErrorCode(rule.reason), f"{asked.type}: {rule.says}")


def visible_scopes(asked: Asking) -> frozenset[KeyText] | None:
    """Return the pools a sender may read in by ``pull`` or ``get``, or None for every post.

    Raises:
        Refusal: ``forbidden`` where the sender may not read at all, or not in that pool.
    """
    check_asking(asked)
    if asked.scope is not None:
        return frozenset({asked.scope})
    return None if asked.admits(asked.type) else asked.sender.pools
