"""The outside things a node needs, as interfaces, each with a twin and one contract suite.

Nothing here does I/O. Adapters (`replicator.adapters`) implement these; use cases receive them.
Methods raise only errors of `replicator.errors`: the store `StoreUnavailable`, the work state
`WorkUnavailable`, the doorbell `BrokerUnavailable`, the transport `PeerUnavailable` and
`BadAnswer`. All times are ms since the Unix epoch, UTC. Every write is idempotent: doing it twice
is doing it once.
"""

from replicator.node.ports.malformed import MalformedEntry
from replicator.node.ports.moderation_store import (
    Block,
    BlockKind,
    BlockName,
    Covered,
    Equivocation,
    Equivocator,
    Reopened,
)
from replicator.node.ports.outside import (
    Background,
    Clock,
    Doorbell,
    Pending,
    Ring,
    Transport,
    WireAnswer,
)
from replicator.node.ports.rates import Entry
from replicator.node.ports.records import (
    Added,
    Backfill,
    Incoming,
    Keep,
    LanePage,
    Member,
    Page,
    Peer,
    Pin,
    Query,
    RefPage,
    Totals,
    Waiting,
    WaitingEntry,
    WaitingOrigin,
)
from replicator.node.ports.store import Store
from replicator.node.ports.work import (
    DeadLetter,
    DoorbellKind,
    DueKind,
    FetchItem,
    FetchLease,
    HoldKind,
    Progress,
    Receipt,
    RefusalRecord,
    Reply,
    Settlement,
    Wanted,
    WorkState,
)

__all__ = [
    "Added",
    "Backfill",
    "Background",
    "Block",
    "BlockKind",
    "BlockName",
    "Clock",
    "Covered",
    "DeadLetter",
    "Doorbell",
    "DoorbellKind",
    "DueKind",
    "Entry",
    "Equivocation",
    "Equivocator",
    "FetchItem",
    "FetchLease",
    "HoldKind",
    "Incoming",
    "Keep",
    "LanePage",
    "MalformedEntry",
    "Member",
    "Page",
    "Peer",
    "Pending",
    "Pin",
    "Progress",
    "Query",
    "Receipt",
    "RefPage",
    "RefusalRecord",
    "Reopened",
    "Reply",
    "Ring",
    "Settlement",
    "Store",
    "Totals",
    "Transport",
    "Waiting",
    "WaitingEntry",
    "WaitingOrigin",
    "Wanted",
    "WireAnswer",
    "WorkState",
]
