"""A live pool is asked what peers, strangers, curl and saturated mates ask of it."""

import json
import shutil
import subprocess
import sys
import time

import pytest
from lxml import etree

from replicator.adapters.sql.store import SqlStore
from replicator.cli.demo_node import DemoNode
from replicator.protocol import codec
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Get, Model, Pull
from replicator.protocol.signing import PrivateKey
from tests.support.harm import publish
from tests.support.live import Voice, exchange, lasting_state, live_pool, stalled_server
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)
ENCODINGS = pytest.mark.parametrize("media_type", [codec.JSON, codec.XML], ids=["json", "xml"])
UNKNOWN = "node1.demo/never-published"
POSTS = 20


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with live_pool(tmp_path_factory.mktemp("pool"), pull_seconds=1) as nodes:
        nodes[0].publish(
            [
                json.dumps({"id": f"p{n}", "text": f"post {n}", "published": 1000 + n}).encode()
                for n in range(POSTS)
            ]
        )
        eventually(lambda: all(node.count() == POSTS for node in nodes), "all hold all")
        eventually(lambda: is_quiet(nodes), "pulls have caught up with the log")
        yield nodes


def is_quiet(nodes) -> bool:
    """Tell whether every lane, and every pull of another's log, has come to its end."""
    stores = {node.site.node_id: SqlStore(node.site.database_url, read_only=True) for node in nodes}
    try:
        ends = {node_id: store.end_cursor() for node_id, store in stores.items()}
        at_end = [
            peer.pulled == ends[peer.id] and peer.pushed == store.last_change()
            for store in stores.values()
            for peer in store.peers()
        ]
        return len(at_end) == len(nodes) * (len(nodes) - 1) and all(at_end)
    finally:
        for store in stores.values():
            store.close()


def request(arguments=None, **members):
    return {**codec.request_tree(arguments or Pull()), **members}


def impostor(nodes) -> Voice:
    """Return a member's id and pool key under a node key that nobody pinned."""
    true = Voice.of(nodes[1].site).identity
    keys = (PrivateKey.generate(),)
    return Voice(type(true)(true.node_id, keys, true.pool_keys))


CASES = {
    "a wrong signature": (
        401,
        "bad-signature",
        False,
        lambda nodes, voice, media: voice.say(
            nodes[0].site, request(), media, change={"replicator-sender": "node3.demo"}
        ),
    ),
    "no signature": (
        401,
        "bad-signature",
        False,
        lambda nodes, voice, media: voice.say(
            nodes[0].site, request(), media, change={"signature": None, "signature-input": None}
        ),
    ),
    "a changed key": (
        403,
        "key-changed",
        True,
        lambda nodes, voice, media: impostor(nodes).say(nodes[0].site, request(), media),
    ),
    "an unknown sender": (
        403,
        "unknown-sender",
        True,
        lambda nodes, voice, media: Voice(
            type(voice.identity)(NodeId("stranger.example"), (PrivateKey.generate(),))
        ).say(nodes[0].site, request(), media),
    ),
    "an old signature": (
        401,
        "stale",
        True,
        lambda nodes, voice, media: voice.say(
            nodes[0].site, request(), media, created=int(time.time()) - 3600
        ),
    ),
    "another protocol version": (
        409,
        "version-mismatch",
        True,
        lambda nodes, voice, media: voice.say(nodes[0].site, request(protocol="2.0"), media),
    ),
    "another model version": (
        409,
        "version-mismatch",
        True,
        lambda nodes, voice, media: voice.say(
            nodes[0].site, request(model=Model(version="9.0")), media
        ),
    ),
    "an unknown type": (
        501,
        None,
        True,
        lambda nodes, voice, media: voice.say(nodes[0].site, request(type="burn"), media),
    ),
    "a malformed body": (
        400,
        "malformed",
        True,
        lambda nodes, voice, media: voice.say(
            nodes[0].site, {codec.JSON: b'{"type":', codec.XML: b"<request><type>"}[media], media
        ),
    ),
}


@ENCODINGS
@pytest.mark.parametrize("case", CASES)
def test_what_is_refused_gets_its_own_answer_and_changes_nothing(nodes, case, media_type):
    status, code, signed, ask = CASES[case]
    before = lasting_state(nodes[0].site)
    answer = ask(nodes, Voice.of(nodes[1].site), media_type)
    assert (answer.status, answer.tree.get("code"), answer.signed) == (status, code, signed)
    assert answer.tree["status"] == ("error" if code else "not supported")
    assert answer.headers["content-type"] == media_type
    assert lasting_state(nodes[0].site) == before


@ENCODINGS
def test_an_unknown_post_is_missing_and_not_an_error(nodes, media_type):
    before = lasting_state(nodes[0].site)
    voice = Voice.of(nodes[1].site)
    document = request(Get(ids=(UNKNOWN, "node1.demo/p1"), digests=("0" * 64,)))
    answer = voice.say(nodes[0].site, document, media_type)
    assert (answer.status, answer.tree["status"]) == (200, "success")
    assert [model["content"]["id"] for model in answer.tree["models"]] == ["node1.demo/p1"]
    missing = answer.tree["missing"]
    assert [item.get("id") or item.get("digest") for item in missing] == [UNKNOWN, "0" * 64]
    assert lasting_state(nodes[0].site) == before


def test_a_request_is_answered_once_and_its_copy_is_refused(nodes):
    body = codec.encode(codec.JSON, request())
    fields = Voice.of(nodes[1].site).sign(nodes[0].site, body, codec.JSON)
    first = exchange(nodes[0].site, fields, body)
    again = exchange(nodes[0].site, fields, body)
    assert first[0] == 200
    assert (again[0], json.loads(again[2])["code"]) == (409, "replayed")


# --- curl -----------------------------------------------------------------------------------------


def printed_curl(node: DemoNode, *arguments: str) -> str:
    command = [sys.executable, "-m", "replicator.cli", "--home", str(node.site.home), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return run.stdout


def run_shell(command: str) -> bytes:
    return subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=30).stdout


@pytest.fixture
def curl():
    if shutil.which("curl") is None:
        pytest.skip("curl is not on this machine")


@pytest.mark.usefixtures("curl")
def test_curl_gets_the_same_page_in_both_encodings(nodes):
    chosen = ["--since", "1003", "--until", "1013", "--limit", "7", "--as-curl"]
    answers = {}
    for form in ("json", "xml"):
        command = printed_curl(nodes[1], "pull", "node1.demo", "--format", form, *chosen)
        assert command.startswith("curl ")
        answers[form] = run_shell(command)
    from_json = json.loads(answers["json"])
    from_xml = etree.fromstring(answers["xml"])
    refs = [
        {member.tag: member.text for member in item} for item in from_xml.findall("./refs/item")
    ]
    assert [{k: str(v) for k, v in ref.items()} for ref in from_json["refs"]] == refs
    assert [ref["id"] for ref in refs] == [f"node1.demo/p{n}" for n in range(3, 10)]
    assert from_json["cursor"] == from_xml.findtext("cursor")
    assert from_json["more"] is True
    assert from_xml.findtext("more") == "true"


@pytest.mark.usefixtures("curl")
def test_curl_without_the_signature_fields_is_refused(nodes):
    command = printed_curl(nodes[1], "pull", "node1.demo", "--as-curl")
    bare = "".join(
        line
        for line in command.splitlines(keepends=True)
        if "-H signature" not in line.replace("'", "")
    )
    assert bare != command
    answer = json.loads(run_shell(bare))
    assert (answer["status"], answer["code"]) == ("error", "bad-signature")


# --- lanes that are stuck -------------------------------------------------------------------------


def test_nodes_whose_lanes_are_stuck_at_a_stalled_peer_still_answer(nodes):
    """Both nodes have more stalled mates than threads; none of their answers waits for a lane."""
    with stalled_server() as address:
        for node in nodes[:2]:
            stall_lanes(node, address)
        for node in nodes[:2]:
            publish(node, [json.dumps({"text": "for everybody", "id": "stuck"}).encode()])
        deadline = time.monotonic() + 8
        slowest = 0.0
        while time.monotonic() < deadline:
            for asker, asked in (nodes[:2], nodes[1::-1]):
                started = time.monotonic()
                answer = Voice.of(asker.site).say(asked.site, request(Pull(limit=5)))
                slowest = max(slowest, time.monotonic() - started)
                assert answer.tree["status"] == "success"
        assert slowest < 5, f"an answer took {slowest:.1f} s"


def stall_lanes(node: DemoNode, address: str) -> None:
    """Give a node more mates at an address that never answers than its lanes have threads."""
    identity = Voice.of(node.site).identity
    store = SqlStore(node.site.database_url)
    try:
        for number in range(24):
            mate = NodeId(f"stalled{number}.demo")
            store.add_peer(mate, address, 1)
            store.join_pools(mate, identity.pools)
    finally:
        store.close()
