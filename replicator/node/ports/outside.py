"""The broker, the network, time and threads as ports.

The doorbell raises `BrokerUnavailable`, the transport `PeerUnavailable` and `BadAnswer`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from replicator.protocol.ids import NodeId


@dataclass(frozen=True, slots=True)
class Ring:
    """One doorbell message: run ``task`` for ``peer`` (None: for the node).

    ``note`` is what a person reads in Flower besides the peer ("3 posts, 4,096 bytes").

    Raises:
        ValueError: an answer without the token of its request, or work for a peer without one.
    """

    task: Literal["answer", "announce", "fetch", "pull", "repair", "roster", "look", "upkeep"]
    peer: NodeId | None = None
    token: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if (self.task == "answer") != (self.token is not None):
            raise ValueError("an answer, and nothing else, has the token of a request")
        if self.peer is None and self.task not in ("answer", "upkeep"):
            raise ValueError(f"{self.task} needs a peer")


class Doorbell(Protocol):
    """The message broker, as far as `replicator` knows it. A lost message costs time only."""

    def ring(self, rings: Sequence[Ring]) -> None:
        """Send messages, all in one go; raise `BrokerUnavailable` where that is in doubt."""


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """An HTTP answer as it came, body bounded while reading and decompressed.

    ``wire_body`` are the transmitted bytes (what the content digest covers).
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    wire_body: bytes


class Transport(Protocol):
    """One call to a peer's address. No retries, no redirects, no proxies."""

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        """Send one request and read one answer within ``seconds`` in all.

        Raises:
            PeerUnavailable: no connection, no complete answer in time, or a redirect.
            BadAnswer: the answer is larger than ``bytes_max`` (``about_items``, where it has an
                envelope), or does not decompress.
        """

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        """As `post`, for a document that is read without a request body."""


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> int:
        """Return ms since the Unix epoch, UTC."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Pending(Protocol[T_co]):
    """A value that may still be under way."""

    def result(self) -> T_co:
        """Wait for the value, or raise what its making raised."""


class Background(Protocol):
    """Runs something beside the caller; the twin runs it when its result is asked for."""

    def submit(self, work: Callable[[], T]) -> Pending[T]:
        """Start ``work``."""
