"""How a lane's refs become puts."""

import pytest

from replicator.limits import Limits
from replicator.protocol.ids import Digest, GlobalId
from replicator.protocol.post import Ref
from replicator.rules.batching import plan_put

LIMITS = Limits()
SMALL, LARGE = 1_000, LIMITS.inline_post_bytes_max + 1


def refs_of(*sizes: int) -> list[Ref]:
    return [Ref(GlobalId(f"a/{n}"), Digest(f"{n:064x}"), n, size) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "items_max", "inline", "count"),
    [
        ([SMALL] * 3, 500, True, 3),
        ([SMALL] * 9, 4, True, 4),
        ([SMALL, SMALL, LARGE, SMALL], 500, True, 2),
        ([LARGE, LARGE, SMALL], 500, False, 2),
        ([60_000] * 20, 500, True, LIMITS.batch_bytes_max // 60_000),
        ([LARGE] * 700, 500, False, 500),
        ([LARGE], 1, False, 1),
    ],
)
def test_a_put_holds_a_run_of_posts_of_one_kind_within_its_bounds(sizes, items_max, inline, count):
    plan = plan_put(refs_of(*sizes), LIMITS, items_max)
    assert (plan.inline, plan.count) == (inline, count)
