"""Two large sets that differ little: what comparing them costs on the wire and in the database."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from replicator.limits import Limits
from replicator.protocol.signing import PrivateKey
from tests.support.postgres import empty_schema
from tests.support.two_sets import Two, filled, path_of, two

pytest_plugins = ["tests.support.store_fixtures"]

KEY = PrivateKey.generate()
MISSING = 50
"""Posts that each side lacks."""
TEXT = "x" * 700
"""Makes a post of about 1 kB."""
ENTRIES_CUT = 2 * 15 * Limits().summary_items_max
"""Items read on both sides for sixteen fingerprints of all: those where one ends."""
Opened = tuple[Callable[[], AbstractContextManager[Two]], int, int]
"""How to open the two nodes, how many posts they hold, and the bytes of those."""


@pytest.fixture(scope="module", params=[20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def original(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int, int]:
    """A database file, how many posts it holds, and their bytes."""
    count: int = request.param
    url = f"sqlite:///{tmp_path_factory.mktemp('original')}/node.db"
    return path_of(url), count, filled(url, count, KEY, TEXT)


@pytest.fixture
def pair(original: tuple[Path, int, int], tmp_path: Path) -> Opened:
    """Two nodes on copies of one database."""
    file, count, size = original
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("alpha", "beta")]
    for url in urls:
        shutil.copy(file, path_of(url))
    return lambda: two(urls, KEY), count, size


def check_difference(pair: Two, count: int, size: int, missing: int = MISSING) -> None:
    """Check that what differs is found, by which messages."""
    only_alpha, only_beta = pair.drift(count, missing, TEXT)
    found = pair.compared()
    assert found.complete
    assert set(found.have) == only_alpha
    assert set(found.need) == only_beta
    assert found.rounds <= 5
    assert found.sent + found.received < size / 100


def check_equality(pair: Two) -> None:
    """Check that equal sets are found equal, by which messages."""
    found = pair.compared()
    assert found.is_none
    assert found.rounds <= 2
    assert found.sent + found.received < 1_000


def test_fifty_missing_on_each_side_are_found_with_little(pair: Opened) -> None:
    opened, count, size = pair
    with opened() as nodes:
        check_difference(nodes, count, size)
        # each of a hundred differences leads to a range of its own, which both sides list
        assert nodes.read.rows < (3 if count < 100_000 else 1.5) * count


def test_equal_sets_are_told_without_reading_them(pair: Opened) -> None:
    opened, count, _ = pair
    with opened() as nodes:
        check_equality(nodes)
        assert nodes.read.rows < ENTRIES_CUT + 4 * count / Limits().summary_items_max
        assert (
            nodes.read.steps < (ENTRIES_CUT * 10 + count) / 1_000
        )  # a look at every row takes more


@pytest.mark.postgres
def test_the_same_holds_on_postgresql(postgres: str) -> None:
    count, limits = 3_000, Limits(summary_items_max=32)
    with ExitStack() as stack:
        urls = [stack.enter_context(empty_schema(postgres)) for _ in range(2)]
        size = max(filled(url, count, KEY, TEXT, limits) for url in urls)
        nodes = stack.enter_context(two(urls, KEY, limits))
        check_equality(nodes)
        assert nodes.read.rows < count / 2
        check_difference(nodes, count, size, missing=10)
