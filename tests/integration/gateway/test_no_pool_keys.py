"""A gateway that has no private pool key: peers are served and refused, nobody is admitted less.

Its key folder holds ``pool-1.pub`` in place of ``pool-1.pem``; a worker elsewhere has the key.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from replicator.adapters.keyfiles import KeyFiles
from replicator.limits import Limits
from replicator.node.identity import Identity
from replicator.protocol import codec, envelope
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from tests.support.gateway import PULL, Got, call
from tests.support.home import make_home
from tests.support.valkey import PrivateServer

pytest_plugins = ["tests.support.work_fixtures"]


@dataclass
class Gateway:
    """The process, and a member of its pool."""

    sync_port: int
    local_port: int
    home: Path
    sender: Identity
    process: subprocess.Popen[bytes]


@pytest.fixture
def gateway(tmp_path: Path, valkey_server: PrivateServer) -> Iterator[Gateway]:
    limits = {"answer_seconds": 1}
    settings = make_home(tmp_path / "home", "here.example", valkey_server.url, limits=limits)
    pool = KeyFiles(settings.keys_folder).create_pool_key()
    public = settings.keys_folder / "pool-1.pub"
    assert public.read_text().strip() == pool.public
    (settings.keys_folder / "pool-1.pem").unlink()
    environment = {**os.environ, "REPLICATOR_HOME": str(settings.home)}
    environment |= {"REPLICATOR_GATEWAY_LISTEN": "127.0.0.1:0"}
    environment |= {"REPLICATOR_LOCAL_LISTEN": "127.0.0.1:0"}
    command = [sys.executable, "-m", "replicator.gateway", "--no-pool-keys"]
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log)
    assert child.stdout is not None
    try:
        ready = json.loads(child.stdout.readline() or b"{}")
        assert ready.get("event") == "gateway.ready", (tmp_path / "log").read_text()
        sender = Identity(NodeId("sender.example"), (PrivateKey.generate(),), (pool,))
        yield Gateway(ready["sync_port"], ready["local_port"], settings.home, sender, child)
    finally:
        child.kill()
        child.wait(10)
        child.stdout.close()


def ask(gateway: Gateway, created: int) -> tuple[Got, str]:
    """Make one signed pull; return the answer and what it must be bound to."""
    body = codec.encode(codec.JSON, PULL)
    signed = envelope.sign_request(
        gateway.sender.credentials(0),
        NodeId("here.example"),
        body,
        codec.JSON,
        created=created,
        nonce=os.urandom(16),
    )
    headers = {"content-type": codec.JSON, **signed.headers}
    return call(gateway.sync_port, "POST", "/v1/sync", headers, body), signed.base_digest


def test_a_refusal_is_signed_with_the_node_key_alone(gateway: Gateway) -> None:
    got, bound_to = ask(gateway, created=1)
    assert got.status == 401
    assert json.loads(got.body)["code"] == "stale"
    message = envelope.parse(got.headers, Limits())
    envelope.verify(message)
    assert [role for _, role in message.keys] == ["node"]
    assert message.in_reply_to == bound_to


def test_a_member_is_admitted_and_waits_for_a_worker(gateway: Gateway) -> None:
    got, _ = ask(gateway, created=int(time.time()))
    # no worker runs here: it is told that the node is busy, not that it is no member
    assert json.loads(got.body)["code"] == "busy"


def test_its_own_page_names_no_pool_and_publishing_says_why_not(gateway: Gateway) -> None:
    page = call(gateway.sync_port, "GET", "/v1/node", {"accept": codec.JSON}, b"")
    assert page.status == 200
    assert json.loads(page.body)["document"]["pools"] == []
    token = (gateway.home / "local-token").read_text().strip()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    draft = json.dumps({"posts": [{"text": "hello"}]}).encode()
    got = call(gateway.local_port, "POST", "/local/v1/posts", headers, draft)
    assert got.status == 501, got.body
    assert json.loads(got.body)["error"]["code"] == "no-pool-keys"
