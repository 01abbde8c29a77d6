"""Which posts a pull's filter asks for: the plain reference of the rule.

Pure. The in-memory store uses it as it stands; what the SQL store computes in the database must
agree with it (property tests compare the two). Text is compared by code point, without folding.
"""

from replicator.protocol.ids import origin_of
from replicator.protocol.messages import Filter
from replicator.protocol.post import Content


def matches(wanted: Filter | None, content: Content) -> bool:
    """Tell whether ``content`` is asked for; None asks for everything.

    Members of a filter are combined with *and*, the entries of a list with *or*; an empty list
    asks for nothing in particular. ``since`` is inclusive, ``until`` exclusive.
    """
    if wanted is None:
        return True
    origin = origin_of(content.id)
    return (
        (not wanted.nodes or origin in wanted.nodes)
        and origin not in wanted.except_nodes
        and (wanted.since is None or content.published >= wanted.since)
        and (wanted.until is None or content.published < wanted.until)
        and (not wanted.tags or not set(wanted.tags).isdisjoint(content.tags))
        and (not wanted.threads or content.thread in wanted.threads)
    )
