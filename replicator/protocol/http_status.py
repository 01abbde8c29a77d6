"""Which HTTP status carries which answer (PROTOCOL.md, "Errors"). Pure."""

from typing import Final

from replicator.errors import ErrorCode
from replicator.protocol.messages import Answer, ErrorAnswer, UnsupportedAnswer

STATUS: Final = {
    ErrorCode.MALFORMED: 400,
    ErrorCode.BAD_SIGNATURE: 401,
    ErrorCode.STALE: 401,
    ErrorCode.KEY_CHANGED: 403,
    ErrorCode.UNKNOWN_SENDER: 403,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.VERSION_MISMATCH: 409,
    ErrorCode.REPLAYED: 409,
    ErrorCode.BAD_CURSOR: 410,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.UNEXPECTED: 500,
    ErrorCode.BUSY: 503,
}
"""Status of an error answer by its code."""
NOT_SUPPORTED: Final = 501


def of(answer: Answer) -> int:
    """Return the HTTP status of an answer."""
    if isinstance(answer, UnsupportedAnswer):
        return NOT_SUPPORTED
    if isinstance(answer, ErrorAnswer):
        return STATUS[ErrorCode(answer.code)]
    return 200
