"""Live nodes of one pool as real processes, and a peer's voice that may say anything to them."""

import http.client
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replicator.adapters.sql.store import SqlStore
from replicator.bootstrap import load_identity
from replicator.cli.demo_node import DemoNode, Site
from replicator.cli.demo_play import found_pool
from replicator.limits import Limits
from replicator.node.conversation import SYNC_PATH
from replicator.node.identity import Identity
from replicator.protocol import codec, envelope
from replicator.protocol.ids import NodeId
from replicator.settings import CONFIG_NAME, load_settings
from tests.support.harm import running


@contextmanager
def live_pool(folder: Path, **limits: float) -> Iterator[list[DemoNode]]:
    """Run the demo's three nodes, with other limits, for as long as the context lasts."""
    nodes = found_pool(folder)
    for node in nodes:
        with (node.site.home / CONFIG_NAME).open("a", encoding="utf-8") as settings:
            settings.write("\n[limits]\n")
            settings.writelines(f"{name} = {value}\n" for name, value in limits.items())
    with running(*nodes):
        yield nodes


@dataclass(frozen=True)
class Answer:
    """An HTTP answer and its document, verified where it is signed."""

    status: int
    headers: Mapping[str, str]
    tree: codec.Tree
    signed: bool


class Voice:
    """Speaks for a node: signs whatever it is given with that node's keys, or with others."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    @classmethod
    def of(cls, site: Site) -> "Voice":
        """Return the voice of a live node, made of its own key files."""
        return cls(load_identity(load_settings(site.home, {})))

    def say(
        self,
        site: Site,
        document: Mapping[str, Any] | bytes,
        media_type: str = codec.JSON,
        *,
        created: int | None = None,
        change: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send one signed request; ``change`` replaces header fields afterwards (None: removed)."""
        body = document if isinstance(document, bytes) else codec.encode(media_type, document)
        fields = {**self.sign(site, body, media_type, created=created), **(change or {})}
        present = {name: value for name, value in fields.items() if value is not None}
        return _read(exchange(site, present, body))

    def sign(
        self, site: Site, body: bytes, media_type: str, *, created: int | None = None
    ) -> dict[str, str]:
        """Return the header fields of a signed request to a node."""
        signed = envelope.sign_request(
            self.identity.credentials(0),
            site.node_id,
            body,
            media_type,
            created=int(time.time()) if created is None else created,
            nonce=secrets.token_bytes(16),
        )
        return {"content-type": media_type, **signed.headers}


def exchange(
    site: Site, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Post bytes to a node's gateway; return status, lower-case headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", site.gateway_port, timeout=30)
    try:
        connection.request("POST", SYNC_PATH, body, dict(headers))
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, fields, answer.read()
    finally:
        connection.close()


def _read(got: tuple[int, dict[str, str], bytes]) -> Answer:
    status, headers, body = got
    signed = "signature" in headers
    if signed:
        message = envelope.parse(headers, Limits())
        envelope.check_digest(message, body)
        envelope.verify(message)
    media_type = codec.media_type_of(headers.get("content-type"))
    return Answer(status, headers, codec.decode(media_type, body, Limits()), signed)


def lasting_state(site: Site) -> tuple[Any, ...]:
    """Return posts, peers with their cursors, and pins of a node, from its database."""
    store = SqlStore(site.database_url, read_only=True)
    try:
        peers = store.peers()
        names = [peer.id for peer in peers] + [NodeId("stranger.example")]
        return store.digests(), store.last_change(), peers, store.all_pins(names)
    finally:
        store.close()


@contextmanager
def stalled_server() -> Iterator[str]:
    """Give the address of a server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for connection in held:
                connection.close()
