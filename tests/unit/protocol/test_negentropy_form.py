"""The wire form of Negentropy messages: read as written, and nothing else is taken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.errors import Malformed
from replicator.protocol.negentropy_form import END, Mode, Range, Writer, digests, ranges, varint

TIME_MAX = 2**64 - 2


def read(rest: bytes) -> list[Range]:
    """Return the ranges of a message from what follows its version."""
    return list(ranges(b"\x61" + rest))


bounds = st.lists(
    st.tuples(st.integers(0, TIME_MAX) | st.sampled_from([5, 6]), st.binary(max_size=32)),
    max_size=8,
).map(lambda found: sorted(found, key=lambda bound: (bound[0], bound[1].ljust(32, b"\0"))))
payloads = st.one_of(
    st.just((Mode.SKIP, b"")),
    st.binary(min_size=16, max_size=16).map(lambda data: (Mode.FINGERPRINT, data)),
    st.integers(0, 200).map(lambda count: (Mode.IDS, bytes(range(32)) * count)),
)


@settings(deadline=None)
@given(bounds, st.booleans(), st.data())
def test_what_is_written_is_read(places, endless, data):
    writer, written = Writer(), []
    for bound in places + [END] * endless:
        mode, payload = data.draw(payloads)
        match mode:
            case Mode.SKIP:
                writer.skip(bound)
            case Mode.FINGERPRINT:
                writer.fingerprint(bound, payload)
            case Mode.IDS:
                writer.ids(bound, list(digests(payload)))
        written.append(Range(bound, mode, payload))
    assert list(ranges(writer.message())) == written
    assert len(writer) == len(writer.message())


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8100"),
        (300, "822c"),
        (2**64 - 1, "81" + "ff" * 8 + "7f"),
    ],
)
def test_numbers_are_in_base_128(number, wanted):
    assert varint(number).hex() == wanted


def test_times_are_differences_and_the_end_is_nought():
    writer = Writer()
    writer.skip((300, b""))
    writer.skip((301, b"\xab"))
    writer.skip(END)
    assert writer.message().hex(" ", 1) == "61 82 2d 00 00 02 01 ab 00 00 00 00"


def test_an_empty_range_after_the_end_is_read():
    # The reference writes it where a list up to the end filled its frame
    assert [one.bound for one in read(bytes.fromhex("000000 000000"))] == [END, END]


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ("81", "ends within a number"),
        ("01", "ends within a number"),
        ("0100", "ends within a number"),
        ("010001", "longer than the message"),
        ("010001" + "00" * 15, "longer than the message"),
        ("01000202" + "00" * 63, "longer than the message"),
        ("010002" + "81" + "ff" * 8 + "7f", "longer than the message"),
        ("010102", "ends within a number"),
        ("0102ab", "prefix of 2 bytes"),
        ("0121" + "ab" * 33 + "00", "prefix of 33 bytes"),
        ("010003", "mode 3"),
        ("0100" + "8102", "mode 130"),
        ("80010000", "leading zero"),
        ("018000", "leading zero"),
        ("82" + "80" * 8 + "00" + "0000", "beyond 64 bits"),
        ("81" + "80" * 9 + "00" + "0000", "beyond 64 bits"),
        ("ff" * 30, "beyond 64 bits"),
        ("81" + "ff" * 8 + "7f" + "0000" + "020000", "beyond 64 bits"),
        ("00" + "01ab" + "00", "no prefix"),
        ("000000" + "010000", "beyond 64 bits"),
        ("0502ab0100" + "0101ab00", "go back"),
        ("0501ab00" + "010000", "go back"),
        ("010000" + "00", "ends within a number"),
    ],
)
def test_what_no_honest_peer_writes_is_malformed(rest, why):
    with pytest.raises(Malformed, match=why):
        read(bytes.fromhex(rest))


def test_zeros_at_the_end_of_a_prefix_mean_nothing():
    assert len(read(bytes.fromhex("0502ab0000" + "0101ab00"))) == 2
