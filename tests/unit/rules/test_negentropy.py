"""Comparing two sets: what is found, in how many rounds, and what hostile messages may cost.

That messages equal those of the reference is tested in tests/conformance.
"""

import hashlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from replicator.errors import Malformed, OtherVersion
from replicator.protocol.ids import INTEGER_MAX
from replicator.protocol.negentropy_form import END, Bound, Writer, ranges, varint
from replicator.rules import negentropy
from replicator.rules.negentropy import (
    RANGES_MAX,
    Item,
    SortedItems,
    Step,
    continue_,
    initiate,
    respond,
)

BOUNDED = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
FRAME = 256 * 1024
NONE = SortedItems(())


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def many(count: int, spread: int = 10**9, first: int = 0) -> list[Item]:
    """Return items at times that are spread over a range."""
    return [
        (1_767_225_600_000 + number * 7919 % spread, digest(number))
        for number in range(first, first + count)
    ]


class Counted(SortedItems):
    """Items that count how often they are asked, and how many of them are read."""

    asked = 0
    read = 0

    def slice(self, begin: int, end: int):
        self.asked += 1
        self.read += end - begin
        return super().slice(begin, end)

    def rank(self, bound: Bound) -> int:
        assert bound[0] <= INTEGER_MAX, "a store need not know numbers that no post may have"
        self.asked += 1
        return super().rank(bound)

    def total(self, begin: int, end: int) -> int:
        self.asked += 1
        return super().total(begin, end)


def compared(
    client: SortedItems, server: SortedItems, frames: tuple[int, int], rounds_max: int
) -> tuple[set[bytes], set[bytes]]:
    """Return what the client has alone, and what it needs; fail where there is no end."""
    have: list[bytes] = []
    need: list[bytes] = []
    message: bytes | None = initiate(client, frames[0])
    for _ in range(rounds_max):
        assert message is not None
        assert not frames[0] or len(message) <= frames[0]
        answer = respond(server, message, frames[1])
        assert not frames[1] or len(answer) <= frames[1]
        step = continue_(client, answer, frames[0])
        have += step.have
        need += step.need
        message = step.message
        if message is None:
            return set(have), set(need)
    raise AssertionError(f"no end after {rounds_max} rounds")


# --- what is found -------------------------------------------------------------------------------

# Few times and digests that begin alike: bounds need long prefixes
clustered = st.builds(
    lambda time, end, same: (time, b"\xab" * same + digest(-1 - time * 10**7 - end)[same:]),
    st.sampled_from([0, 1, 2, 1_767_225_600_000, INTEGER_MAX]),
    st.integers(0, 10**6),
    st.sampled_from([0, 1, 20]),
)
extra = st.sets(clustered, max_size=80)
frames = st.tuples(*2 * [st.sampled_from([0, 4_096, 5_000, 16_384, FRAME])])


@BOUNDED
@given(st.integers(0, 1_000), st.sampled_from([1, 3, 10**9]), extra, extra, frames)
@example(0, 1, set(), set(), (0, 0))
@example(0, 1, set(), {(0, bytes(32))}, (4_096, 4_096))
@example(32, 1, set(), set(), (4_096, 4_096))
def test_both_differences_are_found_exactly_in_few_rounds(count, spread, ours, theirs, bounds):
    shared = many(count, spread)
    client, server = {*shared, *ours}, {*shared, *theirs}
    have, need = compared(SortedItems(client), SortedItems(server), bounds, 60)
    assert have == {one for _, one in client - server}
    assert need == {one for _, one in server - client}


@pytest.mark.parametrize(("ours", "theirs"), [(3_000, 0), (0, 3_000), (3_000, 3_000)])
@pytest.mark.parametrize("frame", [0, 4_096])
def test_sets_without_anything_in_common_are_told_apart(ours, theirs, frame):
    client, server = many(ours), many(theirs, first=10_000)
    # 120 digests fit a frame of 4,096 bytes
    have, need = compared(SortedItems(client), SortedItems(server), (frame, frame), 120)
    assert have == {one for _, one in client}
    assert need == {one for _, one in server}


def test_equal_sets_take_one_round_of_less_than_a_kilobyte():
    items = SortedItems(many(20_000))
    message = initiate(items, FRAME)
    answer = respond(items, message, FRAME)
    assert len(message) + len(answer) < 1_000
    assert continue_(items, answer, FRAME) == Step((), (), None)


def test_a_hundred_differences_among_many_take_four_rounds_at_most():
    items = many(20_000)
    client, server = SortedItems(items[50:]), SortedItems(items[:-50])
    have, need = compared(client, server, (FRAME, FRAME), 4)
    assert have == {one for _, one in items[-50:]}
    assert need == {one for _, one in items[:50]}


def test_one_digest_at_two_times_is_named_on_both_sides():
    client, server = SortedItems([(1, digest(1))]), SortedItems([(2, digest(1)), (3, digest(2))])
    answer = respond(server, initiate(client))
    assert continue_(client, answer) == Step((), (digest(2),), None)


def test_what_we_alone_have_is_cut_where_the_caller_says_and_what_we_need_is_not():
    items = many(9_000)
    server = SortedItems(many(40, first=20_000))
    answer = respond(server, initiate(SortedItems(items), FRAME), FRAME)
    whole = continue_(SortedItems(items), answer, FRAME)
    for most in (0, 1, 100, 8_999, 9_000, 10_000):
        step = continue_(SortedItems(items), answer, FRAME, most)
        assert step == Step(whole.have[:most], whole.need, whole.message)


def test_nothing_is_read_for_what_may_not_be_named():
    items = Counted(many(9_000))
    answer = respond(NONE, initiate(items))
    items.read = 0
    assert continue_(items, answer, FRAME, 0) == Step((), (), None)
    assert items.read == 0


# --- versions, frames ----------------------------------------------------------------------------


def test_another_version_is_answered_with_ours_and_tells_the_asker_apart():
    for byte in (0x60, 0x62, 0x6F):
        assert respond(NONE, bytes([byte]) + b"whatever") == b"\x61"
        with pytest.raises(OtherVersion, match=f"version {byte - 0x60} "):
            continue_(NONE, bytes([byte]))
    for message in (b"", b"\x5f", b"\x70", b"{}"):
        with pytest.raises(Malformed, match="begin with a version"):
            respond(NONE, message)


@pytest.mark.parametrize("frame", [-1, 1, 4_095])
def test_a_frame_too_small_is_an_error_of_the_caller(frame):
    message = initiate(NONE)
    for call in (
        lambda: initiate(NONE, frame),
        lambda: respond(NONE, message, frame),
        lambda: continue_(NONE, message, frame),
    ):
        with pytest.raises(ValueError, match="4096"):
            call()


# --- any bytes -----------------------------------------------------------------------------------

SET = SortedItems(many(700, spread=300))
OTHER = SortedItems(many(700, spread=300, first=60))
VALID = [
    initiate(SET),
    respond(OTHER, initiate(SET), 4_096),
    initiate(SortedItems(many(20))),
    continue_(SET, respond(OTHER, initiate(SET))).message or b"",
]


def heard(message: bytes) -> None:
    """Hand a message to both sides; anything else than an answer or `Malformed` fails."""
    try:
        answer = respond(SET, message, 4_096)
    except Malformed:
        pass
    else:
        assert len(answer) <= 4_096
        respond(SET, answer)
    try:
        step = continue_(SET, message, 4_096)
    except Malformed:
        return
    assert step.message is None or len(step.message) <= 4_096
    assert all(len(one) == 32 for one in (*step.have, *step.need))


pieces = st.sampled_from(
    [b"\0", b"\1", b"\2", b"\0\0\1", b"\0\0\2", b"\2\0\2\0", b"\x80", b"\xff" * 9, b"\x7f", END[1]]
)


@BOUNDED
@given(st.lists(pieces | st.binary(max_size=40), max_size=30).map(b"".join))
def test_any_bytes_are_a_message_or_malformed_and_nothing_else(data):
    heard(data)
    heard(b"\x61" + data)


@settings(BOUNDED, max_examples=200)
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=3)), max_size=4),
)
def test_any_change_of_a_message_is_a_message_or_malformed_and_nothing_else(message, changes):
    for place, length, put in changes:
        at = int(place * len(message))
        message = message[:at] + put + message[at + length :]
    heard(message)


@pytest.mark.parametrize("message", [VALID[0], VALID[2]], ids=len)
def test_a_message_that_is_cut_off_within_a_range_is_malformed(message):
    whole = 0
    for length in range(1, len(message) + 1):
        try:
            continue_(NONE, message[:length])
        except Malformed:
            continue
        whole += 1
    # The version alone is a message; then each range may be the last
    assert whole == 1 + len([*ranges(message)])


# --- what it costs -------------------------------------------------------------------------------


def filled(write) -> bytes:
    """Return a message of a frame's size from many tiny ranges."""
    writer, time = Writer(), 0
    while len(writer) < FRAME - 50:
        time += 1
        write(writer, (time, b""))
    return writer.message()


EMPTY_FINGERPRINT = hashlib.sha256(bytes(33)).digest()[:16]
TINY = {
    "skipped": lambda writer, bound: writer.skip(bound),
    "lists": lambda writer, bound: writer.ids(bound, []),
    "fingerprints": lambda writer, bound: writer.fingerprint(bound, b"x" * 16),
    "right fingerprints": lambda writer, bound: writer.fingerprint(bound, EMPTY_FINGERPRINT),
}


@pytest.mark.parametrize("kind", TINY)
def test_a_frame_of_tiny_ranges_costs_a_bounded_number_of_look_ups(kind):
    message = filled(TINY[kind])
    for call in (respond, continue_):
        items = Counted(many(3_000))
        call(items, message, FRAME)
        assert items.asked <= (0 if kind == "skipped" else RANGES_MAX + 2)
        assert items.read == 0


def test_ranges_among_our_items_cost_no_more_than_what_is_answered():
    items = many(30_000)
    writer = Writer()
    for time in sorted(time for time, _ in items)[::40]:
        writer.fingerprint((time, b""), b"x" * 16)
    counted = Counted(items)
    answer = respond(counted, writer.message(), FRAME)
    assert counted.asked <= 3 * 750 + len(answer) // 20
    assert counted.read <= 2 * 30_000


def test_a_time_that_no_post_may_have_is_above_all_items():
    items = Counted(many(5))
    for time in (INTEGER_MAX + 1, 2**63, 2**64 - 2):
        writer = Writer()
        writer.ids((time, b""), [])
        assert respond(items, writer.message()) != b"\x61"
        assert len(continue_(items, writer.message()).have) == 5


def test_too_many_ranges_are_compared_in_more_rounds_and_as_exactly(monkeypatch):
    monkeypatch.setattr(negentropy, "RANGES_MAX", 20)
    shared = many(3_000)
    client, server = shared + many(200, first=9_000), shared + many(200, first=5_000)
    have, need = compared(SortedItems(client), SortedItems(server), (FRAME, FRAME), 400)
    assert have == {digest(number) for number in range(9_000, 9_200)}
    assert need == {digest(number) for number in range(5_000, 5_200)}


def test_no_honest_message_of_the_longest_frame_has_too_many_fingerprints():
    shortest = len(varint(1) + varint(0) + varint(1)) + 16
    assert FRAME // shortest < RANGES_MAX


# --- items in memory -----------------------------------------------------------------------------


@BOUNDED
@given(
    st.lists(clustered, max_size=40),
    st.integers(0, INTEGER_MAX) | st.sampled_from([0, 1, 2, 3]),
    st.tuples(st.sampled_from([0, 1, 2, 3, INTEGER_MAX]), st.binary(max_size=3)),
    st.data(),
)
def test_sorted_items_answer_as_a_plain_list_does(items, since, bound, data):
    plain = sorted({one for one in items if one[0] >= since})
    found = SortedItems(items).since(since)
    assert len(found) == len(plain)
    assert found.rank(bound) == len([one for one in plain if one < bound])
    begin = data.draw(st.integers(0, len(plain)))
    end = data.draw(st.integers(begin, len(plain)))
    assert [*found.slice(begin, end)] == plain[begin:end]
    numbers = [int.from_bytes(one, "little") for _, one in plain[begin:end]]
    assert found.total(begin, end) == sum(numbers) % 2**256


def test_a_later_view_of_a_view_is_one_of_the_whole():
    items = SortedItems((time, digest(time)) for time in range(10))
    assert [time for time, _ in items.since(3).since(5).slice(0, 5)] == [5, 6, 7, 8, 9]
    assert len(items.since(5).since(3)) == 5
