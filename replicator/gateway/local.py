"""The local HTTP API: a board application publishes posts here and takes replicated posts out.

It has a listener of its own, bound to loopback unless the operator says otherwise; every request
needs the token (`local_guard`), except the API's own description. JSON only. A post that is
answered with ``stored`` or ``known`` is committed. Whatever asks the store runs in a thread; a
long poll holds none while it waits.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from replicator.errors import (
    ConfigurationError,
    ErrorCode,
    Malformed,
    Refusal,
    StoreFull,
    Unavailable,
)
from replicator.gateway.asgi import (
    Disconnected,
    Receive,
    Scope,
    Send,
    read_body,
    read_headers,
    unless_gone,
)
from replicator.gateway.bounds import InFlight
from replicator.gateway.changes import EndWatch
from replicator.gateway.local_errors import ApiError
from replicator.gateway.local_guard import Guard
from replicator.gateway.local_posts import publish_body, status_of
from replicator.gateway.local_query import Selection, read_selection
from replicator.gateway.openapi import describe
from replicator.node.context import Node
from replicator.node.ports import Page, Query
from replicator.protocol import codec, http_status
from replicator.protocol.ids import Cursor, parse_global_id
from replicator.protocol.post import Post

log = structlog.get_logger(__name__)
T = TypeVar("T")

_OPEN_PATHS: Final = frozenset({"/local/v1/openapi.json"})


class LocalApp:
    """The ASGI application of the local listener; the watch's `run` must run beside it."""

    def __init__(self, node: Node, guard: Guard, watch: EndWatch, executor: Executor) -> None:
        self._node = node
        self._guard = guard
        self._watch = watch
        self._executor = executor
        limits = node.limits
        self._in_flight = InFlight(limits.local_requests_max, limits.in_flight_bytes_max)
        self.routes = self._routes()
        self._router = Router(routes=self.routes, redirect_slashes=False)

    def _routes(self) -> list[Route]:
        return [
            # one route per path: the Allow field of 405 is made of one route's methods
            Route("/local/v1/posts", self._at_posts, methods=["GET", "POST"]),
            Route("/local/v1/posts/{node}/{id}", self._post, methods=["GET"]),
            Route("/local/v1/changes", self._changes, methods=["GET"]),
            Route("/local/v1/status", self._status, methods=["GET"]),
            Route("/local/v1/openapi.json", self._describe, methods=["GET"]),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3, HTTP only)."""
        # the router raises HTTPException for 404 and 405 where it believes to be inside an app
        scope["app"] = self
        try:
            headers = read_headers(scope, self._node.limits.header_bytes_max)
            self._guard.check_host(headers)
            if scope["path"] not in _OPEN_PATHS:
                self._guard.check_token(headers)
            with self._in_flight.enter() as hold:
                scope["replicator.headers"], scope["replicator.hold"] = headers, hold
                await self._router(scope, receive, send)
        except Disconnected:
            return
        except Exception as error:
            await _error_response(error)(scope, receive, send)

    async def _at_posts(self, request: Request) -> Response:
        return await (self._publish if request.method == "POST" else self._posts)(request)

    async def _publish(self, request: Request) -> Response:
        limits = self._node.limits
        headers = request.scope["replicator.headers"]
        if headers.get("content-type", "").partition(";")[0].strip().lower() != codec.JSON:
            raise ApiError(415, "unsupported-media-type", f"send {codec.JSON}")
        body = await read_body(
            request.receive,
            headers,
            request.scope["replicator.hold"],
            bytes_max=limits.local_body_bytes_max,
            seconds=limits.body_seconds,
        )
        status, answer = await self._in_thread(lambda: publish_body(self._node, body))
        self._watch.hurry()
        return _json(status, answer)

    async def _posts(self, request: Request) -> Response:
        selection = self._selection(request, wait_max=None)
        page = await self._page(selection, selection.after)
        return _json(200, {"posts": _items(page), "cursor": page.cursor, "more": page.more})

    async def _post(self, request: Request) -> Response:
        try:
            post_id = parse_global_id("{node}/{id}".format(**request.path_params))
        except Malformed as error:
            raise ApiError(400, "bad-parameter", str(error), "id") from error
        found = await self._in_thread(lambda: self._node.store.get(ids=[post_id]))
        if not found:
            raise ApiError(404, "not-found", f"there is no post {post_id} here")
        return _json(200, _item(found[0]))

    async def _changes(self, request: Request) -> Response:
        """Answer at once where there is something after the cursor, else wait for it."""
        selection = self._selection(request, wait_max=self._node.limits.local_wait_seconds)
        loop = asyncio.get_running_loop()
        end = loop.time() + selection.wait
        page = await self._page(selection, selection.after)
        seen: int | None = -1
        while not page.posts:
            if not page.more:
                seen = await self._moved(seen, end - loop.time(), request.receive)
                if seen is None:
                    break
            page = await self._page(selection, page.cursor)
        return _json(200, {"changes": _items(page), "cursor": page.cursor, "more": page.more})

    async def _moved(self, seen: int | None, seconds: float, receive: Receive) -> int | None:
        """Wait for the log to move past ``seen``; None: time is up. Ends where the client left."""
        moved = asyncio.ensure_future(self._watch.moved(seen))
        try:
            return await unless_gone(receive, moved, seconds)
        except TimeoutError:
            return None
        finally:
            moved.cancel()

    async def _status(self, request: Request) -> Response:
        return _json(200, await self._in_thread(lambda: status_of(self._node)))

    async def _describe(self, request: Request) -> Response:
        return _json(200, describe(self._node.limits))

    def _selection(self, request: Request, *, wait_max: float | None) -> Selection:
        pairs = request.query_params.multi_items()
        return read_selection(pairs, limit_max=self._node.limits.items_max, wait_max=wait_max)

    async def _page(self, selection: Selection, after: Cursor | None) -> Page:
        limits = self._node.limits
        query = Query(selection.filter, limit=selection.limit, bytes_max=limits.batch_bytes_max)
        return await self._in_thread(lambda: self._node.store.page(query, after))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _items(page: Page) -> list[dict[str, Any]]:
    return [_item(post) for post in page.posts]


def _item(post: Post) -> dict[str, Any]:
    """Return a post as the API shows it; its signed content is passed on unparsed."""
    return {
        "digest": post.digest,
        "content": msgspec.Raw(post.canonical),
        "signatures": post.signatures,
    }


def _json(status: int, tree: Any) -> Response:
    return Response(msgspec.json.encode(tree), status, media_type=codec.JSON)


def _error_response(error: Exception) -> Response:
    """Return the answer to an error; what went wrong inside is logged, not told."""
    match error:
        case ApiError():
            api = error
        case Refusal():
            api = ApiError(http_status.STATUS[error.code], error.code, error.message)
        case HTTPException():
            code = "not-found" if error.status_code == 404 else "method-not-allowed"
            api = ApiError(error.status_code, code, error.detail)
        case StoreFull():
            log.warning("gateway.full", reason=str(error))
            api = ApiError(507, "full", f"{error}; nothing was stored")
        case ConfigurationError():
            log.warning("gateway.not_configured", reason=str(error))
            api = ApiError(501, "no-pool-keys", f"{error}; publish at another gateway of the node")
        case Unavailable():
            log.warning("gateway.unavailable", kind=type(error).__name__, reason=str(error))
            api = ApiError(503, ErrorCode.BUSY, "the node cannot do this for now; try again")
        case _:
            log.error("gateway.failed", exc_info=error)
            api = ApiError(500, ErrorCode.UNEXPECTED, "an error that is a bug; see the log")
    response = _json(api.status, api.body())
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})
    if api.status == 503:
        response.headers["retry-after"] = "1"
    if api.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response
