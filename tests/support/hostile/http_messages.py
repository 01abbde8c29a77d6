"""What can be done to the length of a body, to chunks and to header fields."""

from tests.support.hostile.arena import CLOSED, case, of_kind
from tests.support.hostile.raw import (
    CHUNKED,
    HOST,
    INVALID,
    POST,
    PULL,
    REFUSED,
    SMUGGLED,
    UNSIGNED,
    chunk,
    chunked,
    fields,
    one_byte_chunks,
    raw,
    signed,
    swap,
    without,
)

CASES = of_kind(
    "HTTP",
    [
        # how long is the body?
        signed(
            "a length and chunks",
            swap(b"content-length", b"transfer-encoding: chunked\r\ncontent-length"),
            INVALID,
        ),
        raw(
            "chunks and a length",
            POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
            INVALID,
        ),
        raw(
            "two lengths that differ",
            POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
            INVALID,
        ),
        raw(
            "two equal lengths",
            POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
            INVALID,
        ),
        raw("a list of lengths", POST + b"content-length: 5, 5\r\n\r\nhello", INVALID),
        raw("a length below 0", POST + b"content-length: -1\r\n\r\n", INVALID),
        raw("a length with a sign", POST + b"content-length: +5\r\n\r\nhello", INVALID),
        raw("a length in hexadecimal", POST + b"content-length: 0x5\r\n\r\nhello", INVALID),
        raw("a length with a fraction", POST + b"content-length: 5.0\r\n\r\nhello", INVALID),
        raw("an empty length", POST + b"content-length: \r\n\r\n", INVALID),
        raw(
            "a length beyond 64 bits",
            POST + b"content-length: 99999999999999999999\r\n\r\n",
            INVALID,
        ),
        raw("a length of 4 GiB", POST + b"content-length: 4294967296\r\n\r\n", (413, "too-large")),
        raw(
            "a length of a mebibyte and a byte",
            POST + b"content-length: 1048577\r\n\r\n",
            (413, "too-large"),
        ),
        raw(
            "chunked twice",
            POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            INVALID,
        ),
        raw(
            "a transfer in gzip",
            POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            REFUSED,
        ),
        raw(
            "a transfer in nothing known",
            POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
            INVALID,
        ),
        raw(
            "chunked, then identity",
            POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            INVALID,
        ),
        raw(
            "a tab before chunked's colon",
            POST + b"transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n",
            INVALID,
        ),
        raw("a space before a length's colon", POST + b"content-length : 5\r\n\r\nhello", INVALID),
        # chunks
        case(
            "chunks as they should be",
            lambda a: chunked(a, chunk(PULL), b"0\r\n\r\n"),
            (200, "success"),
        ),
        case("chunks of one byte", one_byte_chunks, (200, "success")),
        raw("a chunk of no size", POST + CHUNKED + b"\r\nhello\r\n", INVALID),
        raw("a chunk of size xyz", POST + CHUNKED + b"xyz\r\nhello\r\n", INVALID),
        raw("a chunk of size -1", POST + CHUNKED + b"-1\r\nhello\r\n", INVALID),
        raw("a chunk of size 0x5", POST + CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", INVALID),
        raw("a chunk beyond 64 bits", POST + CHUNKED + b"fffffffffffffffff\r\nhello\r\n", INVALID),
        raw("a chunk longer than said", POST + CHUNKED + b"3\r\nhello\r\n0\r\n\r\n", INVALID),
        raw(
            "chunks beyond a mebibyte",
            POST + CHUNKED + chunk(bytes(700_000)) * 2 + b"0\r\n\r\n",
            (413, "too-large"),
        ),
        raw(
            "a chunk extension of 60,000 bytes",
            POST + CHUNKED + chunk(b"hello", b";" + b"x" * 60_000) + b"0\r\n\r\n",
            UNSIGNED,
        ),
        raw(
            "10 MB of chunk extensions",
            POST + CHUNKED + chunk(b"h", b";" + b"x" * 60_000) * 170,
            CLOSED,
        ),
        raw("trailers", POST + CHUNKED + b"0\r\nx-trailer: 1\r\n\r\n", CLOSED),
        raw(
            "a signature in a trailer", POST + CHUNKED + b"0\r\nsignature: sig1=:x:\r\n\r\n", CLOSED
        ),
        # the header
        raw("a folded line", POST + b"x-a: 1\r\n folded\r\ncontent-length: 0\r\n\r\n", INVALID),
        raw("a folded line at the start", b"POST /v1/sync HTTP/1.1\r\n x: 1\r\n\r\n", INVALID),
        raw(
            "lines that end with LF",
            POST.replace(b"\r\n", b"\n") + b"content-length: 0\n\n",
            INVALID,
        ),
        raw("a CR alone", POST + b"x: 1\rcontent-length: 0\r\n\r\n", INVALID),
        raw("a NUL in a value", POST + b"x: a\0b\r\ncontent-length: 0\r\n\r\n", INVALID),
        raw("a NUL in a name", POST + b"x\0: 1\r\ncontent-length: 0\r\n\r\n", INVALID),
        raw("a NUL in the path", b"GET /v1/\0node HTTP/1.1\r\n" + HOST + b"\r\n", INVALID),
        raw("a name with a space", POST + b"x y: 1\r\ncontent-length: 0\r\n\r\n", INVALID),
        raw("a name with a bracket", POST + b"x(y): 1\r\ncontent-length: 0\r\n\r\n", INVALID),
        raw("an empty name", POST + b": 1\r\ncontent-length: 0\r\n\r\n", INVALID),
        raw("a line without a colon", POST + b"hello\r\ncontent-length: 0\r\n\r\n", INVALID),
        raw(
            "a control character in a value",
            POST + b"x: \x01\r\ncontent-length: 0\r\n\r\n",
            INVALID,
        ),
        raw("1,000 fields", POST + fields(1000), UNSIGNED),
        raw("3,000 fields", POST + fields(3000), (413, "too-large"), (431, "")),
        raw(
            "a field of 20,000 bytes",
            POST + b"x: " + b"y" * 20_000 + b"\r\ncontent-length: 0\r\n\r\n",
            (431, ""),
            (413, "too-large"),
        ),
        raw(
            "a megabyte of header",
            POST + b"x: " + b"y" * 1_000_000 + b"\r\n\r\n",
            (431, ""),
            CLOSED,
        ),
        raw(
            "a name of 20,000 bytes",
            POST + b"y" * 20_000 + b": x\r\n\r\n",
            (431, ""),
            (413, "too-large"),
        ),
        signed("no host", without(b"host"), (200, "success")),
        signed(
            "two hosts",
            swap(b"host: node", b"host: node\r\nhost: other"),
            REFUSED,
        ),
        signed("another host", swap(b"host: node", b"host: evil.example:1"), (200, "success")),
    ],
)
