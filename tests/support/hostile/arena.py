"""Whom hostile inputs are sent to and by whom, how they are sent, and what is heard.

A case is one input with its expected answer: HTTP status and one word. Senders are a member of the
pool, a node that is pinned but in no pool, and a stranger; each signs whatever it is given.
"""

import json
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from replicator.cli.demo_node import Site
from replicator.errors import Malformed, Refusal
from replicator.limits import Limits
from replicator.node.identity import Identity
from replicator.protocol import codec, envelope
from replicator.protocol.ids import NodeId
from tests.support.hostile.described import objection

Steps = Sequence[bytes | float]
"""Bytes to send, and pauses in seconds between them; 0.0 ends our side of the connection."""

CLOSED: Final = (0, "closed")
"""The connection ended without an answer."""
HEARING_SECONDS: Final = 40.0
SYNC: Final = "POST /v1/sync HTTP/1.1"


@dataclass(frozen=True)
class Arena:
    """The node under attack, who attacks it, and a post that it holds.

    Args:
        posts: what the node holds, as items of ``models``.
        now: seconds since the epoch at which this pass began.
        notes: what one pass keeps for itself, such as a request that is sent twice.
    """

    site: Site
    member: Identity
    pinned: Identity
    stranger: Identity
    pool: str
    posts: Sequence[Mapping[str, Any]]
    cursor: str
    now: int

    def sign(
        self,
        body: bytes,
        media_type: str = codec.JSON,
        *,
        sender: Identity | None = None,
        recipient: str | None = None,
        created: int | None = None,
        nonce: bytes | None = None,
        encoding: str | None = None,
    ) -> dict[str, str]:
        """Return the header fields of a signed request, by the member unless another is given."""
        signed = envelope.sign_request(
            (sender or self.member).credentials(0),
            NodeId(recipient or self.site.node_id),
            body,
            media_type,
            created=int(time.time()) if created is None else created,
            nonce=nonce or secrets.token_bytes(16),
            content_encoding=encoding,
        )
        fields = {"content-type": media_type, **signed.headers}
        return fields if encoding is None else {**fields, "content-encoding": encoding}

    def request(self, body: bytes, media_type: str = codec.JSON, **options: Any) -> bytes:
        """Return a whole signed HTTP request."""
        return http(self.sign(body, media_type, **options), body)


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Args:
        name: tells it from all others.
        make: builds what is sent, anew for each pass.
        expected: status and word of the answer (see `word`); several where passes differ.
        slow: it takes seconds by intention, and runs beside the others.
    """

    name: str
    make: Callable[[Arena], bytes | Steps]
    expected: tuple[tuple[int, str], ...]
    slow: bool = False


def case(
    name: str,
    make: Callable[[Arena], bytes | Steps],
    *expected: tuple[int, str],
    slow: bool = False,
) -> Case:
    """Return a case; see `Case`."""
    return Case(name, make, expected, slow)


def of_kind(kind: str, cases: Sequence[Case]) -> list[Case]:
    """Return cases with their kind before their names."""
    return [replace(one, name=f"{kind}: {one.name}") for one in cases]


def http(
    fields: Mapping[str, str] | Sequence[tuple[str, str]], body: bytes, start: str = SYNC
) -> bytes:
    """Return the bytes of an HTTP request with these fields, a host and a length."""
    pairs = list(fields.items()) if isinstance(fields, Mapping) else list(fields)
    head = [start, "host: node", *(f"{name}: {value}" for name, value in pairs)]
    head.append(f"content-length: {len(body)}")
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def hear(site: Site, sent: bytes | Steps) -> tuple[int, str]:
    """Send one input on a connection of its own; return status and word of the answer.

    In place of the word: how the answer differs from what OpenAPI says of it, if it does.
    """
    steps = [sent] if isinstance(sent, bytes) else sent
    with socket.create_connection(("127.0.0.1", site.gateway_port), timeout=5) as connection:
        connection.settimeout(HEARING_SECONDS)
        with suppress(OSError):  # it may have been closed; what was answered is read all the same
            for step in steps:
                if isinstance(step, bytes):
                    connection.sendall(step)
                elif step == 0.0:
                    connection.shutdown(socket.SHUT_WR)
                else:
                    time.sleep(step)
        return _answer(connection)


def _answer(connection: socket.socket) -> tuple[int, str]:
    data = b""
    try:
        while not _is_complete(data := _after_interim(data)):
            more = connection.recv(65536)
            if not more:
                break
            data += more
    except ConnectionError:
        pass
    except TimeoutError:
        return 0, "silence"
    if not data:
        return CLOSED
    head, _, body = data.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    media_type = (_field(head, b"content-type") or b"").decode()
    first = body[: int(_field(head, b"content-length") or b"0")]  # others may follow
    return status, objection(status, media_type, first) or word(head, body)


def _is_complete(data: bytes) -> bool:
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    return len(body) >= int(_field(head, b"content-length") or b"0")


def _after_interim(data: bytes) -> bytes:
    """Return what follows answers like ``100 Continue``."""
    while data.startswith(b"HTTP/1.1 1") and b"\r\n\r\n" in data:
        data = data.partition(b"\r\n\r\n")[2]
    return data


def _field(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


def word(head: bytes, body: bytes) -> str:
    """Return an answer in a word: its error code or status; of a put, what became of its items."""
    media_type = (_field(head, b"content-type") or b"").decode("latin-1")
    try:
        tree = codec.decode(codec.media_type_of(media_type), body, Limits())
    except (Malformed, Refusal):
        return ""
    if "error" in tree:
        return str(tree["error"]["code"])
    if tree.get("status") == "error":
        return str(tree["code"])
    if "items" in tree:
        return ",".join(map(_item_word, tree["items"]))
    return str(tree.get("status", ""))


def _item_word(item: Mapping[str, Any]) -> str:
    reason = str(item.get("reason", "")).partition(":")[0]
    return f"{item['result']} {reason}".strip()


def compact(tree: Any) -> bytes:
    """Return JSON without white space."""
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()
