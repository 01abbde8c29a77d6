"""Every error of the project, ordered by what the caller does next.

    ReplicatorError
    ├── InvalidItem            drop it, count it, never retry
    │   ├── Malformed          a document or item that does not have the defined form
    │   │   └── OtherVersion   a Negentropy message of another version than ours
    │   └── BadPostSignature   a signature of a post does not verify
    ├── Refusal                a request that gets an error answer; carries the answer's code
    │   └── NotSupported       the answer is "not supported"
    ├── PeerMisbehaved         drop the answer and penalise the peer
    │   ├── BadAnswer          the answer is no valid, signed answer to our request
    │   └── KeyChanged         the peer answered under a key that is not pinned for it
    ├── PeerRefused            the peer answered with an error of its own; carries its code
    ├── Unavailable            retry with back-off; nothing is lost
    │   ├── PeerUnavailable    no connection, no answer in time, or `busy`
    │   │   └── NotCalled      it was not even tried: its breaker is open
    │   ├── StoreUnavailable   the database does not answer
    │   │   └── StoreFull      it has no room for another post
    │   ├── WorkUnavailable    Redis or Valkey does not answer
    │   └── BrokerUnavailable  the message broker does not take a message
    ├── CursorConflict         another worker moved the cursor first; drop this work
    └── ConfigurationError     refuse to start; says what to change

Adapters translate driver errors into these at the edge, with ``from``. Anything that is not a
``ReplicatorError`` is a bug and crashes loudly. The module imports nothing of the project.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """The stable ``code`` of an error answer (PROTOCOL.md, "Errors")."""

    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad-signature"
    STALE = "stale"
    KEY_CHANGED = "key-changed"
    UNKNOWN_SENDER = "unknown-sender"
    FORBIDDEN = "forbidden"
    VERSION_MISMATCH = "version-mismatch"
    REPLAYED = "replayed"
    BAD_CURSOR = "bad-cursor"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    UNEXPECTED = "unexpected"
    BUSY = "busy"


class ReplicatorError(Exception):
    """The root of every error that the project raises on purpose."""


class InvalidItem(ReplicatorError):
    """A document or item that never becomes valid by trying again."""


class Malformed(InvalidItem):
    """Bytes or a tree that do not have the defined form; the message names the place."""


class OtherVersion(Malformed):
    """A Negentropy message of a version that is not spoken here."""


class BadPostSignature(InvalidItem):
    """A signature listed with a post does not verify over its canonical bytes."""


class Refusal(ReplicatorError):
    """A request that this node answers with an error.

    Args:
        code: the answer's stable code.
        message: one sentence for a person, naming what was wrong; no secrets.
        retry_after: whole seconds after which to try again (``busy`` only).
    """

    def __init__(self, code: ErrorCode, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after


class NotSupported(ReplicatorError):
    """A request type that this node does not know; answered ``not supported``."""


class PeerMisbehaved(ReplicatorError):
    """A peer sent what no correct peer sends."""


class BadAnswer(PeerMisbehaved):
    """An answer that is not a valid, signed answer document to our request.

    Args:
        message: what is wrong with it.
        about_items: the peer really answered, and what was asked for made its answer unusable
            (too large, or a document that does not decode): smaller questions find the culprit.
    """

    def __init__(self, message: str, *, about_items: bool = False) -> None:
        super().__init__(message)
        self.about_items = about_items


class KeyChanged(PeerMisbehaved):
    """A peer signs under none of the keys pinned for it; nothing of it is saved."""


class PeerRefused(ReplicatorError):
    """A peer answered ``error`` or ``not supported``.

    Args:
        code: the code it gave, or ``"not-supported"``; unknown codes arrive as ``unexpected``.
        message: its words, cut to a bounded length.
        time_ms: the peer's clock in ms since the epoch, on ``stale``.
    """

    def __init__(self, code: str, message: str, *, time_ms: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.time_ms = time_ms


class Unavailable(ReplicatorError):
    """Something we need is away for now; retrying later is safe."""


class PeerUnavailable(Unavailable):
    """A peer cannot be reached in time, or said ``busy``.

    Args:
        message: what happened.
        retry_after: whole seconds the peer asked us to wait, or None.
    """

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotCalled(PeerUnavailable):
    """A call that was not made, because the peer's breaker is open: no attempt."""


class StoreUnavailable(Unavailable):
    """The database does not answer, or is locked for longer than its time-out."""


class StoreFull(StoreUnavailable):
    """The disk, or the quota set for posts, has no room; reading and deleting still work."""


class WorkUnavailable(Unavailable):
    """Redis or Valkey, where the work in hand lives, does not answer."""


class BrokerUnavailable(Unavailable):
    """The message broker did not take a doorbell; the reconciler rings again."""


class CursorConflict(ReplicatorError):
    """A compare-and-set on a cursor lost: somebody else did this work."""


class ConfigurationError(ReplicatorError):
    """Settings, key files or the machine are not fit to run; says what to change."""
