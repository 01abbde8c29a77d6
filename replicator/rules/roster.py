"""What an introduction may change: rules for the members of a pool that others introduce. Pure.

An introduction is a member's own node document. It counts when
1. every key it lists signed it, among them the key of the pool it is given for (`node_document`);
2. it is not about this node itself;
3. its time is neither far ahead of our clock nor longer ago than introductions are kept;
4. and, where keys are pinned for its node, one of the current ones is among its own. A pool key
   alone changes nothing about a node that is pinned: every member has it.

Then the newest one counts. A node that is not known becomes a peer by policy: ``auto`` at once,
``ask`` when the operator agrees. A known one may be given another address, unless the operator
gave the present one by hand: an address that no earlier document of the node named is his.
Addresses are what strangers wrote: only plain http and https URLs are taken, and such as lead back
into this very machine only where this node gives one itself; such as lead into a private network
only where its operator allowed that.
"""

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal
from urllib.parse import urlsplit

from replicator.limits import Limits
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.node_document import NodeDocument
from replicator.rules.addresses import is_private_host
from replicator.rules.trust import KeyState, current_among, standing_among

ADDRESS_CHARS_MAX: Final = 300
_ADDRESS_CHARS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/[]%"
)
"""Neither user names nor queries: a base URL has no use for them."""


class Step(StrEnum):
    """What an introduction that counts leads to."""

    KEEP = "keep"
    """It is kept; nothing else changes."""
    OFFER = "offer"
    """It is kept for the operator to decide."""
    ADD = "add"
    """Its node becomes a peer, with its keys pinned."""
    MOVE = "move"
    """Its node, a peer already, is reached at another address."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What this node knows of the node that an introduction is about.

    Args:
        pins: keys pinned for it, with their states.
        is_peer: it is a peer.
        address: where we reach it, or None.
        named: the addresses that its kept introduction names.
    """

    pins: Mapping[KeyText, KeyState]
    is_peer: bool
    address: str | None
    named: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an introduction, and with which address."""

    step: Step
    address: str | None = None


def objection(
    document: NodeDocument, pool: KeyText, own_id: NodeId, now: int, limits: Limits
) -> str | None:
    """Return why a document, whose signatures verify, is no introduction; None: it is one.

    Args:
        pool: the pool it is given for.
        own_id: this node.
        now: ms.
    """
    if document.id == own_id:
        return "own"
    if pool not in document.pools:
        return "not-in-pool"
    if document.time > now + limits.window_seconds * 1000:
        return "future"
    if document.time < now - int(limits.roster_kept_seconds * 1000):
        return "stale"
    return None


def is_another(document: NodeDocument, pins: Mapping[KeyText, KeyState]) -> bool:
    """Tell whether a document is about a node that is pinned here under none of its keys.

    Of a node that was forgotten, revoked keys are left: it is new, if it comes without these.

    Args:
        pins: what the keys pinned for its node count for now.
    """
    if current_among(pins).intersection(document.keys):
        return False
    return bool(standing_among(pins)) or not pins.keys().isdisjoint(document.keys)


def decide(
    document: NodeDocument,
    standing: Standing,
    policy: Literal["auto", "ask", "off"],
    own_address: str | None,
    *,
    allow_private: bool = False,
) -> Decision:
    """Decide what an introduction that counts leads to; addresses as in `usable_address`."""
    address = usable_address(document.addresses, own_address, allow_private=allow_private)
    if address is None or address == standing.address:
        return Decision(Step.KEEP)
    if standing.is_peer and standing.address is not None:
        moved = standing.address in standing.named and standing.address not in document.addresses
        return Decision(Step.MOVE, address) if moved else Decision(Step.KEEP)
    match policy:
        case "auto":
            return Decision(Step.MOVE if standing.is_peer else Step.ADD, address)
        case "ask":
            return Decision(Step.OFFER, address)
    return Decision(Step.KEEP)


def usable_address(
    addresses: Sequence[str], own_address: str | None, *, allow_private: bool = False
) -> str | None:
    """Return the first address that this node would call, or None.

    Args:
        own_address: what this node gives of itself.
        allow_private: also such as name a host that is not of the internet.
    """
    own = own_address or ""
    nearby = bool(own) and _leads_home(own)
    for address in addresses:
        is_own = address.rstrip("/") == own.rstrip("/")
        if is_own or not _is_base_url(address):
            continue
        if not allow_private and is_private_host(_host(address)):
            continue
        if nearby or not _leads_home(address):
            return address
    return None


def _is_base_url(address: str) -> bool:
    if len(address) > ADDRESS_CHARS_MAX or not _ADDRESS_CHARS.issuperset(address):
        return False
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(_host(address)) and port != 0


def _leads_home(address: str) -> bool:
    """Tell whether an address names this machine, or its link, whoever reads it."""
    host = _host(address)
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        # no name ends in a number: such a host is an address in one of its odd spellings
        last = host.rpartition(".")[2]
        return last == "localhost" or last[:1].isdigit()
    mapped = getattr(number, "ipv4_mapped", None) or number
    return bool(mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified)


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""
