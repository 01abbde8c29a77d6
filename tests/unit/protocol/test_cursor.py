"""Cursors as text: what is made is read again, what was not made is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.errors import ErrorCode, Refusal
from replicator.protocol.cursor import Position, check_position, decode_cursor, encode_cursor
from replicator.protocol.ids import CURSOR_PATTERN, Cursor, Digest

LOG = bytes(range(8))
DIGEST = Digest("0123456789abcdef" * 4)
MARK = bytes.fromhex("0123456789abcdef")


def test_a_cursor_is_these_32_characters() -> None:
    assert encode_cursor(LOG, 1, DIGEST) == "AAECAwQFBgcAAAAAAAAAAQEjRWeJq83v"
    assert encode_cursor(LOG, 0, None) == "AAECAwQFBgcAAAAAAAAAAAAAAAAAAAAA"


@given(
    log=st.binary(min_size=8, max_size=8),
    sequence=st.integers(0, 2**63 - 1),
    digest=st.none() | st.binary(min_size=32, max_size=32),
)
def test_what_is_encoded_is_decoded(log: bytes, sequence: int, digest: bytes | None) -> None:
    cursor = encode_cursor(log, sequence, None if digest is None else Digest(digest.hex()))
    assert decode_cursor(cursor) == Position(log, sequence, (digest or bytes(32))[:8])
    assert len(cursor) == 32
    assert re.match(CURSOR_PATTERN, cursor)


@pytest.mark.parametrize(
    "text",
    [
        *("A" * length for length in (0, 1, 28, 31, 33, 36)),
        *(sign * 32 for sign in "=+/é"),
        "A" * 31 + "=",
        "A" * 31 + "\n",
        " " + "A" * 31,
        "AAECAwQFBgf_________AQEjRWeJq83v",
    ],
)
def test_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        decode_cursor(Cursor(text))
    assert caught.value.code is ErrorCode.BAD_CURSOR


@given(st.text(max_size=40))
def test_any_text_is_read_exactly_or_refused(text: str) -> None:
    try:
        position = decode_cursor(Cursor(text))
    except Refusal:
        return
    digest = Digest(position.mark.hex() + "0" * 48)
    assert encode_cursor(position.log_id, position.sequence, digest) == text


def test_a_position_is_checked_against_the_entry_it_names() -> None:
    check_position(Position(LOG, 7, MARK), LOG, DIGEST, 7)
    check_position(Position(LOG, 0, bytes(8)), LOG, None, 7)
    for position, entry in (
        (Position(b"\xff" * 8, 7, MARK), DIGEST),
        (Position(LOG, 8, MARK), None),
        (Position(LOG, 7, MARK), Digest("f" * 64)),
        (Position(LOG, 0, MARK), None),
    ):
        with pytest.raises(Refusal) as caught:
            check_position(position, LOG, entry, 7)
        assert caught.value.code is ErrorCode.BAD_CURSOR


def test_a_position_whose_entry_was_removed_stays_good() -> None:
    check_position(Position(LOG, 6, MARK), LOG, None, 7)
    check_position(Position(LOG, 6, bytes(8)), LOG, None, 7)
    with pytest.raises(Refusal):
        check_position(Position(b"\xff" * 8, 6, MARK), LOG, None, 7)
