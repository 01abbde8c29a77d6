"""Why posts of some refs are not taken here: the rules with what the store knows, for a batch.

Every way in comes by here: put, get, pull and repair. A look at the store per batch for the floors
and one for what is blocked. A ref is what a peer says: of its digest nothing is decided by this.
"""

from collections.abc import Collection

from replicator.node.context import Node
from replicator.node.floors import floors
from replicator.protocol.ids import Digest
from replicator.protocol.post import Ref
from replicator.rules.policy import BLOCKED
from replicator.rules.taking import ref_objection


def objections(node: Node, refs: Collection[Ref]) -> dict[Digest, str]:
    """Return the reason per digest of each ref whose post would not be taken; others are absent."""
    floor, now = floors(node, refs), node.clock.now()
    found = {ref.digest: ref_objection(ref, now, node.limits, floor(ref)) for ref in refs}
    found |= dict.fromkeys(node.store.blocked(refs), BLOCKED)
    return {digest: reason for digest, reason in found.items() if reason is not None}
