"""Every kept input of the fuzzers holds every promise, and so does what Hypothesis makes of them.

No fuzzer runs here: `tests/integration/test_fuzz.py` runs it.
"""

import resource

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutating import mutator
from tests.fuzz.registry import TARGETS
from tests.fuzz.running import KEPT, kept
from tests.fuzz.target import Broken, Target

named = pytest.mark.parametrize("name", sorted(TARGETS))


@named
def test_every_kept_input_holds_every_promise(name):
    target = TARGETS[name]
    inputs = [*target.seeds(), *(file.read_bytes() for file in kept(name))]
    taken = [target.judge(data) for data in inputs]
    # a target that refuses everything would show nothing
    assert any(taken)


def test_the_kept_inputs_are_small_and_of_targets_that_there_are():
    files = [file for file in KEPT.rglob("*") if file.is_file()]
    assert {file.parent.name for file in files} <= set(TARGETS)
    assert len(files) > 100
    assert sum(file.stat().st_size for file in files) < 300_000


@named
def test_pieces_put_together_at_random_hold_every_promise(name):
    target = TARGETS[name]
    seeds = target.seeds()
    pieces = st.sampled_from(target.tokens) if target.tokens else st.binary(max_size=4)
    inputs = st.builds(
        lambda seed, cut, parts: seed[:cut] + b"".join(parts) + seed[cut:],
        st.sampled_from([*seeds, b""]),
        st.integers(0, 400),
        st.lists(pieces | st.binary(max_size=3), max_size=6),
    )

    @settings(
        deadline=None,
        max_examples=40,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(inputs)
    def judge(data: bytes) -> None:
        target.judge(data[: target.bytes_max])

    judge()


def test_an_input_that_costs_too_much_time_breaks_a_promise(monkeypatch):
    monkeypatch.setattr("tests.fuzz.target.SECONDS_MAX", 0.001)
    slow = Target("slow", lambda data: sum(range(1_000_000)) > 0, list)
    with pytest.raises(Broken, match="took"):
        slow.judge(b"")


def test_an_input_that_costs_too_much_memory_breaks_a_promise():
    # the peak of the process counts, which other tests may have raised
    size = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + 100_000_000
    large = Target("large", lambda data: len(b"x" * size) > 0, list)
    with pytest.raises(Broken, match="kB"):
        large.judge(b"")


def test_a_mutation_is_repeatable_and_bounded():
    change = mutator((b"<item>", b"</item>"), lambda data, bytes_max: data[::-1])
    data = b"<request><type>pull</type></request>"
    made = {change(data, 40, seed) for seed in range(200)}
    assert made == {change(data, 40, seed) for seed in range(200)}
    assert len(made) > 50
    assert max(map(len, made)) <= 40
    assert any(b"<item>" in one for one in made)
