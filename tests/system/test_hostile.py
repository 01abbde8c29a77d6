"""Hundreds of hostile inputs against a live node: each has one answer, and none leaves a trace.

One node with its gateway, its workers and Valkey; the tables of inputs stand by kind in
`tests.support.hostile`. All are sent four times. The first pass is a warm-up, after which memory,
and every row that is not a bounded record of evidence (`EVIDENCE`; in Valkey the newest refusals),
stay as they are.
"""

import json
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replicator.adapters.redis.work import RedisWorkState
from replicator.adapters.sql.store import SqlStore
from replicator.cli import process_tree
from replicator.cli.demo_node import DemoNode
from replicator.node.identity import Identity
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from replicator.settings import load_settings
from tests.support.harm import found_nodes, running
from tests.support.hostile import (
    arguments,
    compressions,
    content_forms,
    content_origins,
    envelope_fields,
    envelope_signers,
    http_connections,
    http_messages,
    json_documents,
    senders,
    xml_documents,
)
from tests.support.hostile.arena import Arena, Case, compact, hear
from tests.support.hostile.holding import HALF, UNREAD, holding, is_heard
from tests.support.hostile.posts import HEAD, ORIGIN_ID, PLAIN, PUBLISHED, keys_of, put, signed
from tests.support.live import Voice
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

CASES: Sequence[Case] = [
    *json_documents.CASES,
    *xml_documents.CASES,
    *envelope_fields.CASES,
    *envelope_signers.CASES,
    *content_forms.CASES,
    *content_origins.CASES,
    *arguments.CASES,
    *senders.CASES,
    *compressions.CASES,
    *http_messages.CASES,
    *http_connections.CASES,
]
PASSES = 3
MEMORY_BYTES_MAX = 64 * 1024 * 1024
SENDERS = 6
LIMITS = {
    "header_seconds": 2,
    "body_seconds": 2,
    "keep_alive_seconds": 2,
    "unread_seconds": 2,
    "connections_max": 200,
    "answers_in_flight_max": 100,
    "peer_requests_per_second": 100_000,
    "peer_burst_requests_max": 100_000,
    "peer_open_requests_max": 1_000,
}
EVIDENCE = {
    "quarantine": "quarantine_posts_max",
    "equivocation": "equivocations_max",
    "equivocator": "equivocators_max",
}
"""Tables of what others did, each with the limit of its rows."""
OF_POSTS = {
    *("post", "post_tag", "post_pool", "change", "log", "decision"),
    *("reconciled", "summary", "origin"),
}
"""Tables that change when a post comes."""
OF_UPKEEP = {"filled", "repinned"}
"""What the node does by itself; `repinned` waits for it, and gets rows along with `node_key`."""
Dump = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoNode]:
    """A live node that knows a pinned node."""
    (node,) = found_nodes(tmp_path_factory.mktemp("hostile"), 1, LIMITS)
    with running(node):
        yield node


@pytest.fixture(scope="module")
def arena(node: DemoNode) -> Arena:
    """The node with a member of its pool that gave it three posts, and a pinned node."""
    pool = Voice.of(node.site).identity.pool_keys
    member = Identity(NodeId(ORIGIN_ID), (PrivateKey.generate(),), pool)
    pinned = Identity(NodeId("pinned.example"), (PrivateKey.generate(),))
    stranger = Identity(NodeId("stranger.example"), (PrivateKey.generate(),))
    store = SqlStore(node.site.database_url)
    store.add_peer(pinned.node_id, None, 1)
    store.pin(pinned.node_id, [pinned.node_keys[0].public], "operator", 1)
    # as its upkeep would do within half a minute
    store.pin(node.site.node_id, Voice.of(node.site).identity.public_node_keys, "self", 1)
    store.close()
    posts = [
        signed({**PLAIN, "id": f"{ORIGIN_ID}/{name}", "text": name}, keys_of(member))
        for name in ("held", "held-too", "held-three")
    ]
    arena = Arena(node.site, member, pinned, stranger, pool[0].public, posts, "", 0)
    status, word = hear(node.site, put(arena, *posts))
    assert (status, word) == (200, "stored,stored,stored")
    answer = Voice(member).say(node.site, {**HEAD, "type": "pull"})
    return replace(arena, cursor=answer.tree["cursor"])


def test_hostile_inputs_have_their_answers_and_leave_nothing_behind(
    node: DemoNode, arena: Arena
) -> None:
    before = dump(node)
    one_pass(arena)  # the warm-up
    warm, memory, lives = dump(node), memory_bytes(node), processes_of(node)
    assert_only_allowed_posts_came(before, warm)
    keys = key_files(node)
    for _ in range(PASSES):
        one_pass(arena)
        assert dump(node) == warm
    assert processes_of(node) == lives, "a process ended, and was started again"
    grown = memory_bytes(node) - memory
    assert grown < MEMORY_BYTES_MAX, f"{grown} bytes more"
    assert key_files(node) == keys
    assert_evidence_is_bounded(node)
    assert_refusals_are_bounded(node)
    assert_a_member_is_served(node, arena)


@pytest.mark.parametrize("data", [b"", HALF, UNREAD], ids=["silent", "half", "unread"])
def test_one_address_that_holds_what_it_can_shuts_nobody_out(
    node: DemoNode, arena: Arena, data: bytes
) -> None:
    memory = memory_bytes(node)
    with holding(node.site, data, LIMITS["connections_max"] + 10):
        assert_a_member_is_served(node, arena)
        assert not is_heard(node.site)
        assert memory_bytes(node) - memory < MEMORY_BYTES_MAX
        eventually(lambda: is_heard(node.site), "what was held is free again")
    assert_a_member_is_served(node, arena)


def one_pass(arena: Arena) -> None:
    """Send every input; compare all answers before complaining."""
    arena = replace(arena, now=int(time.time()))
    slow = [one for one in CASES if one.slow]
    quick = [one for one in CASES if not one.slow]
    with ThreadPoolExecutor(SENDERS + len(slow)) as pool:
        waiting = [(one, pool.submit(hear, arena.site, one.make(arena))) for one in slow]
        waiting += [
            (one, pool.submit(lambda it: hear(arena.site, it.make(arena)), one)) for one in quick
        ]
        heard = [(one, each.result()) for one, each in waiting]
    wrong = [
        f"{one.name}: {answer}, not {one.expected}"
        for one, answer in heard
        if answer not in one.expected
    ]
    assert not wrong, "\n".join(wrong)


def dump(node: DemoNode) -> Dump:
    """Return every row of every table that is no record of evidence."""
    path = Path(node.site.home) / "replicator.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = {name for (name,) in named if not name.startswith("sqlite_")}
        return {
            name: sorted(connection.execute(f'SELECT * FROM "{name}"'), key=repr)  # noqa: S608  # our own tables
            for name in sorted(names - EVIDENCE.keys() - OF_UPKEEP)
        }


def assert_only_allowed_posts_came(before: Dump, after: Dump) -> None:
    """Check that the warm-up changed nothing but for the odd posts that are allowed."""
    changed = {name for name in after if before[name] != after[name]}
    assert changed <= OF_POSTS
    assert set(map(repr, before["post"])) <= set(map(repr, after["post"]))
    allowed = {one.name for one in CASES if (200, "stored") in one.expected}
    came = len(after["post"]) - len(before["post"])
    assert 0 < came <= len(allowed)


def processes_of(node: DemoNode) -> tuple[set[int], dict[str, int]]:
    """Return the ids of all processes of the node, and how often each child was started."""
    state = json.loads((node.site.home / "run" / "up.json").read_text())
    starts = {name: child["starts"] for name, child in state["children"].items()}
    return {process.pid for process in node.processes()}, starts


def key_files(node: DemoNode) -> dict[str, bytes]:
    """Return the files of keys with what stands in them."""
    return {path.name: path.read_bytes() for path in (node.site.home / "keys").iterdir()}


def assert_evidence_is_bounded(node: DemoNode) -> None:
    """Check that records of what others did are no more than the limits say."""
    limits = load_settings(node.site.home, {}).limits
    path, found = Path(node.site.home) / "replicator.db", 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        for name, limit in EVIDENCE.items():
            ((count,),) = connection.execute(f'SELECT count(*) FROM "{name}"')  # noqa: S608  # our own tables
            assert count <= getattr(limits, limit), name
            found += count
    assert found, "the inputs leave evidence"


def assert_refusals_are_bounded(node: DemoNode) -> None:
    """Check that of what members were refused the newest are kept for the operator."""
    settings = load_settings(node.site.home, {})
    bound = settings.limits.refusal_records_max
    with closing(RedisWorkState(settings.work, settings.prefix, settings.limits)) as work:
        assert bound // 2 < len(work.refusals(10 * bound)) <= bound


def assert_a_member_is_served(node: DemoNode, arena: Arena) -> None:
    """Check that a healthy member pulls, gets and puts as before."""
    voice = Voice(arena.member)
    page = voice.say(node.site, {**HEAD, "type": "pull", "limit": 500})
    assert page.signed
    assert len(page.tree["refs"]) == node.count()
    got = voice.say(node.site, {**HEAD, "type": "get", "ids": [f"{ORIGIN_ID}/held"]})
    assert got.tree["models"][0]["content"] == arena.posts[0]["content"]
    name = f"{ORIGIN_ID}/{secrets.token_hex(8)}"
    new = {**arena.posts[0]["content"], "id": name, "published": PUBLISHED + 1}
    body = compact({**HEAD, "models": [signed(new, keys_of(arena.member))]})
    assert voice.say(node.site, body).tree["items"][0]["result"] == "stored"


def memory_bytes(node: DemoNode) -> int:
    """Return what all processes of the node take together."""
    return process_tree.proportional_bytes([process.pid for process in node.processes()])


def test_there_are_hundreds_of_inputs_and_each_has_a_name_of_its_own() -> None:
    names = Counter(one.name for one in CASES)
    assert [name for name, count in names.items() if count > 1] == []
    assert len(CASES) >= 700
