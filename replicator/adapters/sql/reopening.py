"""Judging contents anew whose origin's pinned keys changed: what pools vouched for may have won.

Runs inside a transaction that is alone, one bounded step at a time: some ids of one origin, of
each all that was seen, then another origin's turn. What lost to another content of its id, and
would not today, is forgotten: it leaves the sets as if it had never been seen, unless the proofs
have the content itself, which is then stored. A held post stays, until something that its origin
signed takes its place.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from replicator.adapters.sql.adding import add_posts
from replicator.adapters.sql.bulk import execute, rows_among, rows_of
from replicator.adapters.sql.deciding import Contents
from replicator.adapters.sql.equivocations import acquit, read_lost
from replicator.adapters.sql.forgetting import EQUIVOCATION, forget_decisions
from replicator.adapters.sql.packing import packed_keys, unpack_signers
from replicator.adapters.sql.pins import read_pins, standing_keys
from replicator.adapters.sql.removing import DOOMED_SQL, Doomed, let_go
from replicator.adapters.sql.summary import missing_items
from replicator.limits import Limits
from replicator.node.ports import Incoming, Reopened
from replicator.protocol.ids import Digest, KeyText, NodeId
from replicator.rules.merging import contenders
from replicator.rules.negentropy import Item

_NEXT_SQL: Final = "SELECT node, after_id, found, place FROM repinned ORDER BY place LIMIT 1"
_IDS_SQL: Final = (
    "SELECT DISTINCT global_id FROM decision WHERE global_id > ? AND global_id < ?"
    " ORDER BY global_id LIMIT ?"
)
_DECIDED_SQL: Final = "SELECT global_id, digest, signers, published, reason FROM decision"


class _Fallen(NamedTuple):
    id: str
    digest: bytes
    signers: bytes | None
    published: int
    reason: str

    @property
    def name(self) -> Digest:
        return Digest(self.digest.hex())

    @property
    def item(self) -> Item:
        return self.published, self.digest


def is_left(connection: Connection) -> bool:
    """Tell whether there is anything to judge anew."""
    return bool(rows_of(connection, "SELECT 1 FROM repinned LIMIT 1"))


def reopen(connection: Connection, now: int, limits: Limits) -> Reopened | None:
    """Do one step (see `ModerationStore.reopen`)."""
    marks = rows_of(connection, _NEXT_SQL)
    if not marks:
        return None
    node, after, found, place = marks[0]
    # ids of an origin's posts begin with its id and a slash, which the character 0 follows
    span = (max(after, f"{node}/"), f"{node}0")
    ids = [row[0] for row in rows_of(connection, _IDS_SQL, *span, limits.expire_items_max)]
    digests = _judge(connection, NodeId(node), ids, now, limits)
    found = bool(found or digests)
    ended = len(ids) < limits.expire_items_max
    last = after if ended else ids[-1]
    turn = place if ended else _last_place(connection) + 1
    moved = "UPDATE repinned SET after_id = ?, found = ?, place = ? WHERE node = ?"
    execute(connection, moved, last, found, turn, node)
    return Reopened(NodeId(node), digests, turn, found=found, ended=ended)


def end_reopening(connection: Connection, step: Reopened) -> None:
    """Forget that an origin's keys changed, unless they did so again."""
    gone = "DELETE FROM repinned WHERE node = ? AND place = ?"
    execute(connection, gone, step.origin, step.place)


def _last_place(connection: Connection) -> int:
    ((last,),) = rows_of(connection, "SELECT max(place) FROM repinned")
    return last or 0


def _judge(
    connection: Connection, node: NodeId, ids: Collection[str], now: int, limits: Limits
) -> tuple[Digest, ...]:
    rows = rows_among(connection, _DECIDED_SQL, "global_id", "text", ids)
    fallen = {row.name: row for row in (_Fallen(*row) for row in rows)}
    rows = rows_among(connection, DOOMED_SQL, "global_id", "text", ids)
    held = {Digest(row.digest.hex()): row for row in (Doomed(*row) for row in rows)}
    among = _contenders(connection, node, fallen, held)
    best = {min(names) for names in among.values() if names}
    everything = set[Digest]().union(*among.values())
    lost = [row for row in fallen.values() if row.reason == EQUIVOCATION]
    weak = [row for row in lost if row.name not in everything]
    again = [row for row in lost if row.name in best]
    back = _from_proofs(connection, again)
    forget_decisions(connection, [row.item for row in (*weak, *again)])
    _acquit(connection, node, weak, len(again))
    add_posts(connection, back, now, limits)
    # where what should be held is decided against for another reason nothing would take its place
    decided = best & fallen.keys() - {row.name for row in again}
    ids_decided = {fallen[name].id for name in decided}
    forged = [
        row for name, row in held.items() if name not in everything and row.global_id in ids_decided
    ]
    let_go(connection, forged)
    return tuple(row.name for row in (*weak, *again))


def _contenders(
    connection: Connection,
    node: NodeId,
    fallen: Mapping[Digest, _Fallen],
    held: Mapping[Digest, Doomed],
) -> dict[str, set[Digest]]:
    seen: dict[str, Contents] = {}
    for name, row in fallen.items():
        seen.setdefault(row.id, {})[name] = unpack_signers(row.signers or b"")
    for name, post in held.items():
        seen[post.global_id][name] = packed_keys(post.signatures)
    standing = standing_keys(connection, [node])[node]
    return {post_id: contenders(contents, standing) for post_id, contents in seen.items()}


def _from_proofs(connection: Connection, rows: Collection[_Fallen]) -> list[Incoming]:
    """Return posts that stand in proofs, as if they came now, in the pools they were seen in."""
    posts = read_lost(connection, [row.name for row in rows])
    pools: dict[Digest, set[KeyText]] = {post.digest: set() for post in posts}
    items = [(post.published, bytes.fromhex(post.digest)) for post in posts]
    for number, key in rows_of(connection, "SELECT id, key FROM pool") if items else ():
        absent = set(missing_items(connection, number, items))
        for item in items:
            if item not in absent:
                pools[Digest(item[1].hex())].add(KeyText(key))
    origin = {row.name: NodeId(row.id.partition("/")[0]) for row in rows}
    return [Incoming(post, origin[post.digest], frozenset(pools[post.digest])) for post in posts]


def _acquit(connection: Connection, node: NodeId, weak: Collection[_Fallen], again: int) -> None:
    """Take back what an origin was flagged for and did not sign with any key it ever had here."""
    keys: set[Any] = {pin.key for pin in read_pins(connection, [node]).get(node, ())}
    forged = sum(keys.isdisjoint(unpack_signers(row.signers or b"")) for row in weak)
    if forged + again:
        acquit(connection, {node: forged + again})
