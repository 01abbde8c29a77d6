"""The keys pinned for nodes, and the serial of what each announced last; plain statements.

Runs inside a transaction that the caller opened.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable

from sqlalchemy import Connection, delete, insert, select, update

from replicator.adapters.sql.bulk import put_rows, rows_among, rows_of
from replicator.adapters.sql.schema import key_serial, node_key, repinned
from replicator.node.ports import Pin
from replicator.protocol.ids import KeyText, NodeId
from replicator.rules.trust import standing_among


def read_pins(connection: Connection, nodes: Collection[NodeId]) -> dict[NodeId, tuple[Pin, ...]]:
    """Return pins per node, current first; nodes without pins are absent."""
    head = "SELECT node, key, state, pinned_at, source, until FROM node_key"
    found: dict[NodeId, list[Pin]] = defaultdict(list)
    for row in rows_among(connection, head, "node", "text", nodes):
        node, key, state, pinned_at, source, until = row
        found[NodeId(node)].append(Pin(KeyText(key), state, pinned_at, source, until))
    return {
        node: tuple(sorted(pins, key=lambda pin: (pin.state != "current", pin.pinned_at, pin.key)))
        for node, pins in found.items()
    }


def nodes_under(connection: Connection, key: KeyText) -> list[NodeId]:
    """Return the nodes for which a key is pinned, in order; rare, so it has no index."""
    found = connection.scalars(select(node_key.c.node).where(node_key.c.key == key))
    return sorted(NodeId(node) for node in found)


def standing_keys(
    connection: Connection, nodes: Collection[NodeId]
) -> dict[NodeId, frozenset[KeyText]]:
    """Return the keys that authenticate posts of nodes; of those without pins, none."""
    found = read_pins(connection, nodes)
    return {
        node: standing_among({pin.key: pin.state for pin in found.get(node, ())}) for node in nodes
    }


def put_first_pins(
    connection: Connection, node: NodeId, keys: Collection[KeyText], source: str, now: int
) -> bool:
    """Pin keys for a node that has none but revoked ones, and not these; False: nothing is new."""
    present = read_pins(connection, [node]).get(node, ())
    fresh = set(keys).difference(pin.key for pin in present)
    if not fresh or any(pin.state != "revoked" for pin in present):
        return False
    _insert(connection, node, (Pin(key, "current", now, source) for key in fresh))
    _follow(connection, node, frozenset())
    return True


def replace_pins(
    connection: Connection, node: NodeId, keys: Collection[KeyText], now: int, *, revoke: bool
) -> None:
    """Make ``keys`` the current ones by the operator's word; others become retired, or revoked."""
    before = standing_keys(connection, [node])[node]
    named = sorted(set(keys))
    connection.execute(delete(node_key).where(node_key.c.node == node, node_key.c.key.in_(named)))
    others = update(node_key).where(node_key.c.node == node)
    if not revoke:
        others = others.where(node_key.c.state == "current")
    connection.execute(others.values(state="revoked" if revoke else "retired", until=None))
    _insert(connection, node, (Pin(key, "current", now, "operator") for key in named))
    connection.execute(delete(key_serial).where(key_serial.c.node == node))
    _follow(connection, node, before, found=True)


def read_serial(connection: Connection, node: NodeId) -> int:
    """Return the serial of the newest announcement taken of a node, or 0."""
    found = connection.scalar(select(key_serial.c.serial).where(key_serial.c.node == node))
    return found or 0


def put_announced(
    connection: Connection,
    node: NodeId,
    before: Collection[Pin],
    after: Collection[Pin],
    serial: int,
) -> bool:
    """Replace all pins by what was announced; False, and unchanged, where it does not fit."""
    present = read_pins(connection, [node]).get(node, ())
    if not present or set(present) != set(before) or read_serial(connection, node) >= serial:
        return False
    connection.execute(delete(node_key).where(node_key.c.node == node))
    _insert(connection, node, after)
    connection.execute(delete(key_serial).where(key_serial.c.node == node))
    connection.execute(insert(key_serial).values(node=node, serial=serial))
    _follow(connection, node, standing_among({pin.key: pin.state for pin in present}))
    return True


def have_judged(connection: Connection, node: NodeId, *, found: bool = False) -> None:
    """Have posts of a node judged anew among each other, from the first on.

    Args:
        found: they are to be looked for at peers in any case.
    """
    before = rows_of(connection, "SELECT found FROM repinned WHERE node = ?", node)
    ((last,),) = rows_of(connection, "SELECT max(place) FROM repinned")
    found = found or any(was for (was,) in before)
    put_rows(connection, repinned, [(node, (last or 0) + 1, "", found)])


def _follow(
    connection: Connection, node: NodeId, before: frozenset[KeyText], *, found: bool = False
) -> None:
    """Have posts of a node judged anew, if other keys stand than before."""
    if standing_keys(connection, [node])[node] != before:
        have_judged(connection, node, found=found)


def _insert(connection: Connection, node: NodeId, pins: Iterable[Pin]) -> None:
    rows = [
        {
            "node": node,
            "key": pin.key,
            "state": pin.state,
            "pinned_at": pin.pinned_at,
            "source": pin.source,
            "until": pin.until,
        }
        for pin in sorted(pins, key=lambda pin: pin.key)
    ]
    if rows:
        connection.execute(insert(node_key), rows)
