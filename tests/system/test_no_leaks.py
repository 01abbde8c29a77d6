"""Nothing that is secret, and no text of a post, stands in what a live node logs, shows or serves.

One node with a passphrase, its own Valkey, a dashboard and traffic of every kind, refusals and a
malformed queue entry among it. Every file it logs to and every page it serves is searched.
"""

import base64
import http.client
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import psutil
import pytest
import redis

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.loopback import free_ports
from replicator.adapters.redis.work import RedisWorkState
from replicator.cli.flower import flower_program
from replicator.limits import Limits
from replicator.node.identity import Identity
from replicator.protocol import codec, envelope
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from replicator.settings import load_settings
from tests.support.cli_home import CliHome
from tests.support.hostile_entries import body, entry
from tests.support.live_node import LiveNode
from tests.support.processes import LocalProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

PASSPHRASE = "passphrase-that-nobody-sees"
TEXT = "the-text-of-a-private-post"
PLANTED = "The body of a planted entry"
NODE = "live.example"


@dataclass
class Scene:
    """The node, and its dashboard."""

    node: LiveNode
    flower: LocalProcess
    flower_listen: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("leaks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPLICATOR_KEY_PASSPHRASE", PASSPHRASE)
        with LiveNode(folder / "live", NODE) as node:
            CliHome(node.home)("keys", "pool", "new", "--yes")
            node.start()
            (port,) = free_ports(1, Random())
            listen = f"127.0.0.1:{port}"
            settings = load_settings(node.home, {"REPLICATOR_FLOWER_LISTEN": listen})
            program = flower_program(settings)
            flower = LocalProcess(
                "flower", list(program.command), folder / "flower", dict(program.environment)
            )
            try:
                yield Scene(node, flower, listen)
            finally:
                flower.remove()


def secrets_of(scene: Scene) -> dict[str, str]:
    """Return everything that nobody may read anywhere, by name."""
    home = scene.node.home
    work_url = (home / "run" / "work-url").read_text().strip()
    found = {
        "passphrase": PASSPHRASE,
        "text of a post": TEXT,
        "body of an entry": PLANTED,
        "local token": (home / "local-token").read_text().strip(),
        "password of the server": work_url.partition("://:")[2].partition("@")[0],
        "password of the dashboard": (home / "run" / "flower-password")
        .read_text()
        .strip()
        .partition(":")[2],
    }
    for file in KeyFiles(home / "keys").list(PASSPHRASE.encode()):
        pem = file.key.to_pem(None).decode().splitlines()[1]
        found[f"{file.path.name} in PEM"] = pem
        seed = base64.b64decode(pem)[-32:]
        found[f"{file.path.name} in hex"] = seed.hex()
        found[f"{file.path.name} in base64"] = base64.urlsafe_b64encode(seed).decode().rstrip("=")
        stored = file.path.read_text().splitlines()[1]
        found[f"{file.path.name} as it is stored"] = stored
    assert all(len(secret) >= 12 for secret in found.values())
    return found


def local(scene: Scene, method: str, path: str, data: bytes | None = None) -> bytes:
    """Call the local API with its token; return the body."""
    home = scene.node.home
    token = (home / "local-token").read_text().strip()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    link = http.client.HTTPConnection(load_settings(home, {}).local_listen, timeout=30)
    try:
        link.request(method, path, data, headers)
        return link.getresponse().read()
    finally:
        link.close()


def page(listen: str, path: str, authorization: str = "") -> str:
    """Return status and body of a page, whatever it says."""
    link = http.client.HTTPConnection(listen, timeout=10)
    try:
        link.request("GET", path, headers={"authorization": authorization})
        answer = link.getresponse()
        return f"{answer.status} {answer.read().decode('utf-8', 'replace')}"
    except OSError:
        return ""
    finally:
        link.close()


def make_traffic(scene: Scene) -> None:
    """Publish, get, be refused, and find something in a queue."""
    node = scene.node
    post = {"id": "secret", "text": TEXT, "title": TEXT}
    local(scene, "POST", "/local/v1/posts", json.dumps({"posts": [post]}).encode())
    assert TEXT.encode() in local(scene, "GET", f"/local/v1/posts/{NODE}/secret")
    for broken in (b'{"posts": [{"text": "' + TEXT.encode(), TEXT.encode()):
        assert b'"error"' in local(scene, "POST", "/local/v1/posts", broken)
    address = node.address.removeprefix("http://")
    for headers in ({"content-type": codec.JSON}, signed(TEXT.encode())):
        link = http.client.HTTPConnection(address, timeout=30)
        link.request("POST", "/v1/sync", TEXT, headers)
        assert link.getresponse().status >= 400
        link.close()
    url = (node.home / "run" / "work-url").read_text().strip()
    with redis.Redis.from_url(url) as client:
        queue = f"replicator:{NODE}:{NODE}.fanout"
        client.lpush(queue, PLANTED, entry(body([PLANTED])), entry(PLANTED))
    work = RedisWorkState(url, f"replicator:{NODE}:", Limits())
    eventually(lambda: work.count_malformed() == 3, "the entries")
    work.close()


def signed(data: bytes) -> dict[str, str]:
    """Return the fields of a request by a sender that nobody knows."""
    stranger = Identity(NodeId("stranger.example"), (PrivateKey.generate(),))
    made = envelope.sign_request(
        stranger.credentials(0),
        NodeId(NODE),
        data,
        codec.JSON,
        created=int(time.time()),
        nonce=os.urandom(16),
    )
    return {"content-type": codec.JSON, **made.headers}


def test_no_secret_and_no_body_is_logged_shown_or_served(scene: Scene) -> None:
    node, home = scene.node, scene.node.home
    cli = CliHome(home)
    user = (home / "run" / "flower-password").read_text().strip()
    basic = "Basic " + base64.b64encode(user.encode()).decode()
    eventually(lambda: page(scene.flower_listen, "/healthcheck"), "the dashboard", seconds=30)
    make_traffic(scene)
    workers = ("answers", "lanes")
    eventually(
        lambda: all(
            f"{kind}@{NODE}" in page(scene.flower_listen, "/workers", basic) for kind in workers
        ),
        "the workers in the dashboard",
        seconds=30,
    )
    address = node.address.removeprefix("http://")
    shown = {path.name: path.read_text(errors="replace") for path in (home / "log").iterdir()}
    assert {"gateway.log", "lanes.log", "answers.log", "beat.log", "valkey.log"} <= set(shown)
    shown["up.log"] = (home / "up.log").read_text()
    shown["flower's log"] = scene.flower.logs().decode()
    shown["up.json"] = (home / "run" / "up.json").read_text()
    for path in ("/v1/node", "/healthz", "/metrics", "/v1/sync", "/status", "/"):
        shown[f"peers {path}"] = page(address, path)
    for path in ("/local/v1/status", "/local/v1/openapi.json"):
        shown[path] = local(scene, "GET", path).decode()
    pages = ["/", "/workers", "/tasks", "/broker", "/metrics", "/api/tasks"]
    pages += ["/api/workers?refresh=1", "/api/queues/length"]
    pages += [f"/worker/{kind}@{NODE}" for kind in workers]
    for path in pages:
        shown[f"flower {path}"] = page(scene.flower_listen, path, basic)
        assert shown[f"flower {path}"].startswith("200 "), path
    for command in (
        *(("status",), ("status", "--json"), ("doctor",), ("doctor", "--json")),
        *(("peers", "list"), ("queue", "list"), ("queue", "malformed"), ("keys", "list")),
    ):
        shown[" ".join(command)] = cli(*command).output
    for process in (*psutil.Process(node.up.pid).children(recursive=True), scene.flower):  # type: ignore[union-attr]
        line = process.command if process is scene.flower else process.cmdline()
        shown[f"command of {process.pid}"] = " ".join(line)
    found = [
        (where, name)
        for where, text in shown.items()
        for name, secret in secrets_of(scene).items()
        if secret in text
    ]
    assert found == []
    assert "queue.malformed" in shown["lanes.log"]
