"""A place in one database's change log, as opaque text.

Pure. A cursor is 24 bytes in unpadded base64url: the log's random id (8), the sequence of an entry
(8, big-endian) and the first 8 bytes of that entry's digest. So a node whose database was rebuilt
or restored notices that a cursor is not its own, instead of leaving posts out in silence.
Sequence 0 with eight zero bytes is the epoch: the place before the first entry. Zero bytes also
stand for an entry that was removed before the cursor was made.
"""

import base64
import binascii
from typing import Final, NamedTuple

from replicator.errors import ErrorCode, Refusal
from replicator.protocol.ids import Cursor, Digest

LOG_ID_BYTES: Final = 8
_MARK_BYTES: Final = 8
_RAW_BYTES: Final = LOG_ID_BYTES + 8 + _MARK_BYTES
_TEXT_CHARS: Final = 32
_SEQUENCE_MAX: Final = 2**63 - 1
_EPOCH_MARK: Final = bytes(_MARK_BYTES)


class Position(NamedTuple):
    """A decoded cursor; ``mark`` is the beginning of the entry's digest."""

    log_id: bytes
    sequence: int
    mark: bytes


def encode_cursor(log_id: bytes, sequence: int, digest: Digest | None) -> Cursor:
    """Return the cursor after the entry ``sequence`` with ``digest`` (0 and None: the epoch)."""
    mark = _EPOCH_MARK if digest is None else bytes.fromhex(digest[: 2 * _MARK_BYTES])
    return Cursor(base64.urlsafe_b64encode(log_id + sequence.to_bytes(8, "big") + mark).decode())


def decode_cursor(cursor: Cursor) -> Position:
    """Return the parts of a cursor.

    Raises:
        Refusal: ``bad-cursor`` where the text was not made by `encode_cursor`.
    """
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise _bad("the cursor is not one of this protocol") from error
    sequence = int.from_bytes(raw[8:16], "big")
    well_formed = len(cursor) == _TEXT_CHARS and len(raw) == _RAW_BYTES
    if not well_formed or sequence > _SEQUENCE_MAX or "+" in cursor or "/" in cursor:
        raise _bad("the cursor is not one of this protocol")
    return Position(raw[:8], sequence, raw[16:])


def check_position(position: Position, log_id: bytes, entry: Digest | None, last: int) -> None:
    """Check that a position is one of the log ``log_id``.

    Args:
        position: what the cursor says.
        log_id: the id of this database's log.
        entry: the digest of the entry at that sequence, or None where there is none.
        last: the last sequence drawn. An entry up to there that is absent was removed, and the
            place it had is as good as before.

    Raises:
        Refusal: ``bad-cursor``; the asker starts again from the epoch.
    """
    if position.log_id != log_id:
        raise _bad("the cursor belongs to another log")
    if position.sequence > last:
        raise _bad("the cursor names an entry that this log does not have")
    if position.sequence == 0:
        expected = _EPOCH_MARK
    elif entry is None:
        return
    else:
        expected = bytes.fromhex(entry[: 2 * _MARK_BYTES])
    if position.mark != expected:
        raise _bad("the cursor names another entry than this log has there")


def _bad(message: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CURSOR, message)
