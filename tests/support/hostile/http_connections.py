"""What can be done to the first line of HTTP, to a connection, and with patience."""

import zlib

from tests.support.hostile.arena import CLOSED, case, http, of_kind
from tests.support.hostile.raw import (
    CHUNKED,
    GET,
    H2,
    HOST,
    INVALID,
    POST,
    PULL,
    TLS,
    UNSIGNED,
    WAIT,
    raw,
    signed,
    slow,
    swap,
)

CASES = of_kind(
    "HTTP",
    [
        # the first line
        raw("HTTP/0.9", b"GET /v1/node\r\n\r\n", (200, "")),
        raw("HTTP/1.0", b"GET /v1/node HTTP/1.0\r\n\r\n", (200, "")),
        raw("HTTP/1.2", b"GET /v1/node HTTP/1.2\r\n" + HOST + b"\r\n", INVALID),
        raw("HTTP/3.0", b"GET /v1/node HTTP/3.0\r\n" + HOST + b"\r\n", INVALID),
        raw("the preface of HTTP/2", H2, INVALID),
        raw("a hello of TLS", TLS, INVALID),
        raw("SSH", b"SSH-2.0-OpenSSH_9.6\r\n", INVALID),
        raw("a command of Redis", b"*1\r\n$8\r\nFLUSHALL\r\n", INVALID),
        raw("random bytes", zlib.compress(PULL * 3), INVALID),
        raw("nothing but line ends", b"\r\n" * 20_000, (431, ""), CLOSED),
        raw("spaces before the method", b"  GET /v1/node HTTP/1.1\r\n" + HOST + b"\r\n", INVALID),
        raw("a method in small letters", b"post /v1/sync HTTP/1.1\r\n" + HOST + b"\r\n", INVALID),
        raw("an unknown method", b"STEAL /v1/sync HTTP/1.1\r\n" + HOST + b"\r\n", INVALID),
        *(
            raw(
                f"{method} of the sync path",
                method.encode() + b" /v1/sync HTTP/1.1\r\n" + HOST + b"\r\n",
                (405, "method-not-allowed"),
            )
            for method in ("GET", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH")
        ),
        raw(
            "CONNECT",
            b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n" + HOST + b"\r\n",
            INVALID,
        ),
        raw(
            "OPTIONS of all",
            b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
            (404, "not-found"),
        ),
        raw(
            "a POST of the document",
            b"POST /v1/node HTTP/1.1\r\n" + HOST + b"content-length: 0\r\n\r\n",
            (405, "method-not-allowed"),
        ),
        raw(
            "the local API at this listener",
            b"GET /local/v1/status HTTP/1.1\r\n" + HOST + b"\r\n",
            (404, "not-found"),
        ),
        raw(
            "a path of a proxy",
            b"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\n" + HOST + b"\r\n",
            (404, "not-found"),
        ),
        signed(
            "our path in full",
            swap(b"/v1/sync", b"http://node/v1/sync"),
            (200, "success"),
        ),
        raw(
            "the folder above",
            b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
            (404, "not-found"),
        ),
        raw(
            "a path with percent signs",
            b"GET /v1/%2e%2e/%00 HTTP/1.1\r\n" + HOST + b"\r\n",
            (404, "not-found"),
        ),
        raw(
            "a broken percent sign",
            b"GET /v1/node%zz HTTP/1.1\r\n" + HOST + b"\r\n",
            (404, "not-found"),
        ),
        raw("two slashes", b"GET //v1/node HTTP/1.1\r\n" + HOST + b"\r\n", (404, "not-found")),
        raw(
            "a slash at the end", b"GET /v1/node/ HTTP/1.1\r\n" + HOST + b"\r\n", (404, "not-found")
        ),
        raw(
            "a path in capitals", b"GET /V1/NODE HTTP/1.1\r\n" + HOST + b"\r\n", (404, "not-found")
        ),
        raw(
            "a path in UTF-8",
            "GET /v1/nöde HTTP/1.1\r\n".encode() + HOST + b"\r\n",
            INVALID,
        ),
        raw(
            "a path of 15,000 characters",
            b"GET /" + b"a" * 15_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
            (404, "not-found"),
        ),
        raw(
            "a query of the document",
            b"GET /v1/node?id=other HTTP/1.1\r\n" + HOST + b"\r\n",
            (200, ""),
        ),
        signed("a query", swap(b"/v1/sync", b"/v1/sync?type=put&__proto__=1"), (200, "success")),
        # the connection
        case(
            "a half close before the body",
            lambda _: (POST + b"content-length: 10\r\n\r\nabc", 0.0),
            CLOSED,
        ),
        case(
            "a half close after the request",
            lambda a: (a.request(PULL), 0.0),
            (200, "success"),
            CLOSED,
        ),
        signed(
            "Expect: 100-continue",
            swap(b"host: node", b"host: node\r\nexpect: 100-continue"),
            (200, "success"),
        ),
        signed(
            "Expect: something else",
            swap(b"host: node", b"host: node\r\nexpect: tea"),
            (200, "success"),
        ),
        signed(
            "an upgrade to HTTP/2",
            swap(
                b"host: node",
                b"host: node\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
                b"http2-settings: AAMAAABk",
            ),
            UNSIGNED,
        ),
        signed(
            "an upgrade to a web socket",
            swap(
                b"host: node",
                b"host: node\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                b"sec-websocket-key: x\r\nsec-websocket-version: 13",
            ),
            UNSIGNED,
        ),
        signed(
            "a range",
            swap(b"host: node", b"host: node\r\nrange: bytes=0-0,1-1,2-2"),
            (200, "success"),
        ),
        signed(
            "fields of proxies",
            swap(
                b"host: node",
                b"host: node\r\nx-forwarded-for: 10.0.0.1\r\nforwarded: for=10.0.0.1\r\n"
                b"x-original-url: /local/v1/posts\r\nx-http-method-override: DELETE",
            ),
            (200, "success"),
        ),
        raw("10,000 requests at once", (GET + b"\r\n") * 10_000, (200, ""), CLOSED),
        raw("ten requests at once", (GET + b"\r\n") * 10, (200, "")),
        raw(
            "a header without end behind a request",
            GET + b"\r\n" + GET + b"x: 1\r\n" * 9_000,
            CLOSED,
            (200, ""),
            (431, ""),
        ),
        case(
            "a request behind a refused one",
            lambda a: POST + b"content-length: 5\r\n\r\nhello" + a.request(PULL),
            UNSIGNED,
        ),
        case(
            "a body longer than said",
            lambda a: http(a.sign(PULL), PULL) + b"GARBAGE\r\n\r\n",
            CLOSED,
        ),
        # time
        slow("a connection without a word"),
        slow("a connection whose other side has ended", 0.0),
        slow("half a request line", b"POST /v1/sy"),
        slow(
            "a header in drops",
            b"POST /v1/sync HTTP/1.1\r\n",
            *(part for n in range(6) for part in (WAIT, b"x-%d: 1\r\n" % n)),
        ),
        slow("a name that does not end", POST, *(part for _ in range(6) for part in (WAIT, b"x"))),
        case(
            "a body in drops",
            lambda _: (
                POST + b"content-length: 100\r\n\r\n",
                *(part for _ in range(6) for part in (WAIT, b"x")),
            ),
            (400, "malformed"),
            slow=True,
        ),
        case(
            "a body that does not come",
            lambda _: (POST + b"content-length: 100\r\n\r\n",),
            (400, "malformed"),
            slow=True,
        ),
        case(
            "chunks in drops",
            lambda _: (POST + CHUNKED, *(part for _ in range(6) for part in (WAIT, b"1\r\nx\r\n"))),
            (400, "malformed"),
            slow=True,
        ),
        case(
            "a chunk size in drops",
            lambda _: (POST + CHUNKED, *(part for _ in range(6) for part in (WAIT, b"0"))),
            (400, "malformed"),
            slow=True,
        ),
    ],
)
