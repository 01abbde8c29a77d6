"""The two pages that strangers may read: the signed node document and the health of the gateway.

Each is made at most once a second whatever the number of readers, in a thread, because it asks the
database and signs. Neither tells anything about a failure.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from replicator.errors import ErrorCode, Refusal, Unavailable
from replicator.node import node_page
from replicator.node.context import Node
from replicator.protocol import codec

_FRESH_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Page:
    """A complete HTTP answer to a GET."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _Cached:
    """One page, made again when it is older than a second; readers share one making."""

    def __init__(self, make: Callable[[], Page], executor: Executor) -> None:
        self._make = make
        self._executor = executor
        self._made: asyncio.Future[Page] | None = None
        self._made_at = 0.0

    async def get(self) -> Page:
        loop = asyncio.get_running_loop()
        stale = loop.time() - self._made_at > _FRESH_SECONDS
        if self._made is None or (stale and self._made.done()):
            self._made = loop.run_in_executor(self._executor, self._make)
            self._made_at = loop.time()
        # a reader that goes away must not cancel the page that others wait for
        return await asyncio.shield(self._made)


class Pages:
    """The pages of one node."""

    def __init__(self, node: Node, executor: Executor) -> None:
        self._node = node
        self._documents = {
            media_type: _Cached(self._maker(media_type), executor)
            for media_type in (codec.JSON, codec.XML)
        }
        self._health = _Cached(self._make_health, executor)

    async def document(self, accept: str) -> Page:
        """Return the signed node document in the type that an Accept field prefers.

        Raises:
            Refusal: ``busy`` where the database does not answer.
        """
        try:
            return await self._documents[preferred_type(accept)].get()
        except Unavailable:
            raise Refusal(ErrorCode.BUSY, "this node is not ready", retry_after=1) from None

    async def health(self) -> Page:
        """Return 200 ``ok`` where database and work state answer, else 503."""
        return await self._health.get()

    def _maker(self, media_type: str) -> Callable[[], Page]:
        def make() -> Page:
            document = node_page.current(self._node)
            body = codec.encode(media_type, document)
            return Page(200, (("content-type", media_type), ("cache-control", "no-cache")), body)

        return make

    def _make_health(self) -> Page:
        headers = (("content-type", "text/plain"), ("cache-control", "no-store"))
        try:
            self._node.store.last_change()
            self._node.work.refusals(1)
        except Unavailable:
            return Page(503, headers, b"unavailable\n")
        return Page(200, headers, b"ok\n")


def preferred_type(accept: str) -> str:
    """Return JSON or XML: the first of the two that an Accept field names, without weights."""
    for part in accept.lower().split(","):
        match part.partition(";")[0].strip():
            case "application/json" | "application/*" | "*/*":
                return codec.JSON
            case "application/xml" | "text/xml":
                return codec.XML
    return codec.JSON
