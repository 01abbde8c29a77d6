"""The gateway as the process it really is, for tests that run one."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from replicator.adapters.keyfiles import KeyFiles
from replicator.node.identity import Identity
from replicator.protocol import codec, envelope
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from replicator.settings import Settings
from tests.support.gateway import PULL, Got, call


@dataclass
class Process:
    """A running gateway process."""

    settings: Settings
    child: subprocess.Popen[bytes]
    sync_port: int
    local_port: int
    sender: Identity

    def request(self) -> tuple[dict[str, str], bytes]:
        """Return a signed pull."""
        body = codec.encode(codec.JSON, PULL)
        signed = envelope.sign_request(
            self.sender.credentials(0),
            self.settings.node_id,
            body,
            codec.JSON,
            created=int(time.time()),
            nonce=secrets.token_bytes(16),
        )
        return {"content-type": codec.JSON, **signed.headers}, body

    def post(self) -> Got:
        """Make one signed pull."""
        return call(self.sync_port, "POST", "/v1/sync", *self.request())

    def raw(self) -> bytes:
        """Return the bytes of one signed pull."""
        headers, body = self.request()
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return (
            f"POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
        ).encode() + body

    def stop(self) -> int:
        """Ask it to stop and return its exit status."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(15)


@contextmanager
def gateway_process(settings: Settings, log: Path) -> Iterator[Process]:
    """Run the gateway of a node that shares a pool with the sender."""
    pool = KeyFiles(settings.keys_folder).create_pool_key()
    environment = {**os.environ, "REPLICATOR_HOME": str(settings.home)}
    environment |= {"REPLICATOR_GATEWAY_LISTEN": "127.0.0.1:0"}
    environment |= {"REPLICATOR_LOCAL_LISTEN": "127.0.0.1:0"}
    command = [sys.executable, "-m", "replicator.gateway"]
    with log.open("wb") as errors:
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors)
    try:
        assert child.stdout is not None
        line = json.loads(child.stdout.readline() or b"{}")
        assert line.get("event") == "gateway.ready", log.read_text()
        sender = Identity(NodeId("sender.example"), (PrivateKey.generate(),), (pool,))
        yield Process(settings, child, line["sync_port"], line["local_port"], sender)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait(10)
        child.stdout.close()
