"""The rule of a pull's filter, case by case."""

import pytest

from replicator.protocol.ids import GlobalId, NodeId
from replicator.protocol.messages import Filter
from replicator.rules.filters import matches
from tests.support.posts import HERE, THERE, content

POST = content(5, node=HERE, tags=["a", "b"], thread="there.example/1")
THREAD, OTHER_THREAD = GlobalId("there.example/1"), GlobalId("there.example/10")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, True),
        (Filter(), True),
        (Filter(nodes=(HERE,)), True),
        (Filter(nodes=(THERE, HERE)), True),
        (Filter(nodes=(THERE,)), False),
        (Filter(nodes=(NodeId("here"), NodeId("example"))), False),
        (Filter(except_nodes=(THERE,)), True),
        (Filter(except_nodes=(THERE, HERE)), False),
        (Filter(since=5), True),
        (Filter(since=6), False),
        (Filter(until=5), False),
        (Filter(until=6), True),
        (Filter(since=5, until=6), True),
        (Filter(since=6, until=5), False),
        (Filter(tags=("b", "z")), True),
        (Filter(tags=("z",)), False),
        (Filter(tags=("A",)), False),
        (Filter(threads=(OTHER_THREAD, THREAD)), True),
        (Filter(threads=(OTHER_THREAD,)), False),
        (Filter(nodes=(HERE,), tags=("z",)), False),
        (Filter(nodes=(HERE,), since=5, until=6, tags=("a",), threads=(THREAD,)), True),
    ],
)
def test_a_filter_asks_for_posts(wanted: Filter | None, expected: bool) -> None:
    assert matches(wanted, POST) is expected


def test_a_post_outside_threads_is_not_in_any() -> None:
    assert not matches(Filter(threads=(THREAD,)), content(1))
