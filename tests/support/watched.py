"""A transport that shows each request to a test, and may let the peer say something else."""

from collections import Counter
from collections.abc import Callable, Mapping

from replicator.adapters.memory.transport import inflated
from replicator.node.context import Node
from replicator.node.ports import Transport, WireAnswer
from replicator.node.replies import Asker, ReplyTo, reply
from replicator.protocol import codec, envelope
from replicator.protocol.messages import Answer


class Watched:
    """Passes calls on, counted by type.

    Args:
        transport: where they go.
        peer: who signs what ``say`` returns.

    ``say`` is given each request's document and returns what the peer answers instead, or None:
    the peer itself answers.
    """

    def __init__(self, transport: Transport, peer: Node) -> None:
        self._transport = transport
        self._peer = peer
        self.calls: Counter[str] = Counter()
        self.say: Callable[[codec.Tree], Answer | None] = lambda _: None

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        """Count a call, and let the peer or the test answer it."""
        limits = self._peer.limits
        plain = inflated(headers, body, limits.message_bytes_max)
        request = codec.decode(codec.JSON, plain, limits)
        self.calls[request["type"]] += 1
        said = self.say(request)
        if said is None:
            return self._transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)
        message = envelope.parse(headers, limits)
        asker = Asker(message.sender, message.base_digest, message.keys_of("pool"))
        made = reply(self._peer, said, ReplyTo("", codec.JSON, asker))
        return WireAnswer(made.status, dict(made.headers), made.body, made.body)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        """Pass a reading on."""
        return self._transport.get(url, seconds=seconds, bytes_max=bytes_max)
