"""The roster: one address is enough to join, and nobody lies members into being somebody else."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from replicator.limits import Limits
from replicator.node import node_page, operating, roster
from replicator.node.introductions import take
from replicator.node.ports import Member as Introduced
from replicator.node.ports import WireAnswer
from replicator.node.pull import pull
from replicator.node.reconciler import tick
from replicator.node.roster import Asked, ask_members
from replicator.protocol import codec, node_document
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Roster
from replicator.protocol.signing import PrivateKey, b64url
from replicator.rules.breaker import Breaker
from replicator.rules.policy import Policy
from tests.support.pool import NOW_MS, Member, Pool, know, read, send, trio

ENCODINGS = pytest.mark.parametrize("media_type", [codec.JSON, codec.XML], ids=["json", "xml"])
DAY_SECONDS = 86_400


def asked(asker: Member, other: Member) -> Asked:
    """Ask for the roster; the rings of earlier work do not matter here."""
    return ask_members(asker.node, other.id)


def document(
    pool: Pool, node_id: str, *keys: PrivateKey, **members: Any
) -> tuple[codec.Tree, tuple[PrivateKey, ...]]:
    """Return a signed node document of the pool, and the keys that it lists."""
    node_keys = keys or (PrivateKey.generate(),)
    content = node_document.NodeDocument(
        id=NodeId(node_id),
        keys=tuple(key.public for key in node_keys),
        pools=(pool.key.public,),
        protocols=("1.0",),
        models=(),
        types=(),
        features=(),
        limits=node_document.limits_of(Limits()),
        addresses=(f"http://{node_id}",),
        time=pool.clock.now(),
    )
    content = msgspec.structs.replace(content, **members)
    return node_document.make(content, (*node_keys, pool.key)), node_keys


def plant(teller: Member, pool: Pool, tree: codec.Tree) -> None:
    """Make ``teller`` introduce whatever a document says, as a liar does."""
    content = msgspec.json.decode(node_document.compact(tree))["document"]
    now = teller.clock.now()
    node_id, key = NodeId(content["id"]), pool.key.public
    kept = Introduced(node_id, frozenset({key}), node_document.compact(tree), content["time"])
    assert teller.store.note_member(kept, now)
    teller.store.add_peer(node_id, None, now)
    teller.store.join_pools(node_id, [key])


def addresses(member: Member) -> dict[str, str | None]:
    return {peer.id: peer.address for peer in member.store.peers()}


def of_all(pool: Pool, but: Member) -> dict[str, str]:
    return {member.id: member.address for member in pool.members if member is not but}


def test_a_pool_of_fifty_is_joined_with_one_address() -> None:
    pool = Pool()
    members = [pool.add(f"n{number:02}") for number in range(49)]
    pool.acquaint(*members)
    for other in members[1:]:
        asked(other, members[0])
    newcomer = pool.add("new")
    newcomer.store.add_peer(members[0].id, members[0].address, pool.clock.now())
    pull(newcomer.node, members[0].id)
    assert asked(newcomer, members[0]).added == 48
    for other in members[1:]:
        pull(newcomer.node, other.id)  # its first turn: the pool that both share is proved
        asked(newcomer, other)
    assert addresses(newcomer) == of_all(pool, newcomer)
    assert all(addresses(other) == of_all(pool, other) for other in members)
    for other in members:
        assert {pin.key for pin in newcomer.store.pins(other.id)} == set(
            other.node.identity.public_node_keys
        )


def test_where_all_know_one_address_two_rounds_make_everybody_known_to_everybody() -> None:
    pool = Pool()
    hub, *others = (pool.add(f"n{number:02}") for number in range(20))
    for other in others:
        know(other, hub)
    for _ in range(2):
        for other in others:
            asked(other, hub)
    assert all(addresses(member) == of_all(pool, member) for member in pool.members)


def test_by_ticks_alone_nodes_that_know_one_address_become_a_pool_that_holds_all() -> None:
    pool = Pool()
    hub, *others = members = [pool.add(f"n{number}") for number in range(5)]
    for other in others:
        other.store.add_peer(hub.id, hub.address, pool.clock.now())
    for member in members:
        member.publish(f"of {member.id}")
    for _ in range(30):
        for member in members:
            tick(member.node)
        pool.settle()
        pool.clock.advance(60)
    for member in members:
        assert addresses(member) == of_all(pool, member)
        assert len(member.posts()) == 5
        assert all(peer.pools == {pool.key.public} for peer in member.store.peers())


def test_who_asks_introduces_itself() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    know(alpha, beta)
    report = asked(alpha, beta)
    assert (report.pages, report.members, report.ended) == (1, 1, "done")
    assert addresses(beta) == {alpha.id: alpha.address}
    assert [pin.source for pin in beta.store.pins(alpha.id)] == ["pool"]
    (kept,) = beta.store.members(pool.key.public)
    assert node_document.read(codec.JSON, kept.document, Limits()).id == alpha.id
    assert (kept.node, kept.offered) == (alpha.id, False)


@ENCODINGS
def test_the_answer_is_the_same_in_both_encodings(media_type: str) -> None:
    pool, alpha, beta, gamma = trio()
    asked(gamma, beta)
    request = Roster(scope=pool.key.public, introduction=node_page.current(alpha.node))
    tree = read(send(alpha, beta, codec.request_tree(request), media_type=media_type))
    told = [node_document.read_tree(entry) for entry in tree["introductions"]]
    assert [entry.id for entry in told] == ["alpha", "beta", "gamma"]
    assert [entry.addresses for entry in told][1:] == [("http://beta",), ("http://gamma",)]
    after = Roster(scope=pool.key.public, after=beta.id)
    tree = read(send(alpha, beta, codec.request_tree(after), media_type=media_type))
    assert [entry["document"]["id"] for entry in tree["introductions"]] == ["gamma"]


class Weighed:
    """A transport that remembers how large answers were."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.sizes: list[int] = []

    def post(self, url: str, headers: Mapping[str, str], body: bytes, **rest: Any) -> WireAnswer:
        answer: WireAnswer = self._inner.post(url, headers, body, **rest)
        self.sizes.append(len(answer.body))
        return answer


def test_a_long_roster_comes_in_pages_that_fit_every_message() -> None:
    pool = Pool()
    weighed = Weighed(pool.transport)
    alpha, beta = pool.add("alpha", transport=weighed), pool.add("beta")  # type: ignore[arg-type]
    know(alpha, beta)
    long = tuple(f"x{number:02}{'-' * 290}" for number in range(50))
    for number in range(150):
        plant(beta, pool, document(pool, f"n{number:03}", features=long)[0])
    report = asked(alpha, beta)
    assert (report.members, report.added, report.ignored) == (151, 150, 0)
    assert report.pages == len(weighed.sizes) > 2
    assert max(weighed.sizes) <= 1024 * 1024


def test_a_pool_key_alone_changes_nothing_about_a_pinned_member() -> None:
    pool, alpha, liar, gamma = trio()
    pins = alpha.store.pins(gamma.id)
    plant(liar, pool, document(pool, "gamma", addresses=("http://liar",), time=NOW_MS + 1)[0])
    report = asked(alpha, liar)
    assert (report.moved, report.ignored) == (0, 1)
    assert alpha.store.pins(gamma.id) == pins
    assert alpha.peer(gamma).address == gamma.address
    (finding,) = alpha.work.refusals(9)
    assert (finding.sender, finding.code) == ("beta", "key-changed")
    assert "gamma" in finding.message


def test_thousands_of_invented_members_are_bounded_and_die_with_the_first_who_hears() -> None:
    pool = Pool()
    limits = Limits(peers_max=10, roster_entries_max=100)
    alpha, gamma = (pool.add(name, limits=limits) for name in ("alpha", "gamma"))
    liar = pool.add("liar", limits=Limits(roster_entries_max=5_000))
    pool.acquaint(alpha, gamma, liar)
    keys = (PrivateKey.generate(),)
    for number in range(1_200):
        plant(liar, pool, document(pool, f"n{number:04}", *keys)[0])
    report = asked(alpha, liar)
    assert report.pages == 1
    assert len(alpha.store.peers()) == 10
    assert len(alpha.store.members()) <= 100
    assert addresses(alpha)["gamma"] == gamma.address
    before = addresses(gamma)
    asked(gamma, alpha)
    assert addresses(gamma) == before


def test_an_older_document_never_takes_an_address_back() -> None:
    pool, alpha, beta, gamma = trio()
    (key,) = gamma.node.identity.node_keys
    old = document(pool, "gamma", key, time=NOW_MS)[0]
    new = document(pool, "gamma", key, addresses=("http://gamma.new",), time=NOW_MS + 1)[0]
    for tree in (old, new):
        plant(beta, pool, tree)
        asked(alpha, beta)
    assert alpha.peer(gamma).address == "http://gamma.new"
    teller = pool.add("delta")
    know(alpha, teller)
    plant(teller, pool, old)
    assert asked(alpha, teller).moved == 0
    assert alpha.peer(gamma).address == "http://gamma.new"


def test_what_repeats_itself_is_written_down_once_a_day() -> None:
    pool, alpha, beta, _ = trio()
    times = []
    for _ in range(5):
        asked(alpha, beta)
        times.append(alpha.store.introductions([beta.id])[beta.id].time)
        pool.clock.advance(DAY_SECONDS / 2)
    assert len(set(times)) == 3
    moved = dataclasses.replace(beta.node, address="http://beta.new")
    pool.nodes[beta.address] = moved
    pool.clock.advance(1)
    assert asked(alpha, beta).moved == 1
    assert alpha.peer(beta).address == "http://beta.new"


def test_an_address_that_the_operator_gave_by_hand_stays() -> None:
    pool, alpha, beta, gamma = trio()
    alpha.store.add_peer(gamma.id, "http://10.0.0.7", pool.clock.now())
    asked(gamma, beta)
    assert asked(alpha, beta).moved == 0
    assert alpha.peer(gamma).address == "http://10.0.0.7"


@pytest.mark.parametrize(
    "members",
    [
        {"time": NOW_MS + 61_000},
        {"time": NOW_MS - 31 * DAY_SECONDS * 1000},
        {"pools": ()},
        {"features": tuple("x" * 300 for _ in range(60))},
    ],
    ids=["of tomorrow", "of long ago", "of no pool of ours", "too long"],
)
def test_a_document_that_does_not_count_is_left_out_and_the_rest_is_taken(
    members: dict[str, Any],
) -> None:
    pool, alpha, beta, _ = trio()
    plant(beta, pool, document(pool, "ghost", **members)[0])
    plant(beta, pool, document(pool, "good")[0])
    report = asked(alpha, beta)
    assert (report.added, report.ignored) == (1, 1)
    assert set(addresses(alpha)) == {"beta", "gamma", "good"}


def signed_as_it_stands(
    pool: Pool, content: codec.Tree, keys: tuple[PrivateKey, ...], **beside: Any
) -> codec.Tree:
    """Return a document of any content, signed with the pool's key and its own."""
    data = b"replicator:node:1.0\n" + msgspec.json.encode(content, order="sorted")
    signatures = [{"key": key.public, "value": b64url(key.sign(data))} for key in (*keys, pool.key)]
    return {"document": content, "signatures": signatures, **beside}


@pytest.mark.parametrize("name", ["a b", "x><y", ""])
@pytest.mark.parametrize("place", ["document", "limits", "models", "announcement", "beside"])
def test_a_member_that_xml_cannot_carry_never_spoils_a_page_for_others(
    name: str, place: str
) -> None:
    pool, alpha, beta, _ = trio()
    tree, keys = document(pool, "ghost")
    content, beside = msgspec.to_builtins(tree["document"]), {}
    if place == "document":
        content[name] = 1
    elif place == "limits":
        content["limits"][name] = 1
    elif place == "models":
        content["models"] = [{"name": "post", "version": "1.0", name: 1}]
    elif place == "announcement":
        content["announcement"] = {name: 1}
    else:
        beside = {name: 1}
    odd = signed_as_it_stands(pool, content, keys, **beside)
    assert node_document.read_tree(odd).id == "ghost"
    assert take(beta.node, pool.key.public, [odd], alpha.id).ignored == 1
    assert "ghost" not in {member.node for member in beta.store.members()}


def test_a_member_of_more_parts_than_a_page_may_have_spoils_none() -> None:
    pool, alpha, beta, _ = trio()
    tree, keys = document(pool, "ghost")
    odd = signed_as_it_stands(pool, {**tree["document"], "newer": [0] * 7_000}, keys)
    assert node_document.read_tree(odd).id == "ghost"
    assert take(beta.node, pool.key.public, [odd], alpha.id).ignored == 1


def test_a_member_of_a_later_version_is_told_on_as_it_was_signed() -> None:
    pool, alpha, beta, _ = trio()
    tree, keys = document(pool, "later")
    content = {**tree["document"], "newer": {"a": [1, True, None]}}
    plant(beta, pool, signed_as_it_stands(pool, content, keys))
    assert asked(alpha, beta).added == 1
    assert "later" in addresses(alpha)


def test_where_the_operator_is_asked_members_wait_for_his_word() -> None:
    pool = Pool()
    alpha, beta, gamma = (
        pool.add(name, policy=Policy(roster="ask") if name == "alpha" else None)
        for name in ("alpha", "beta", "gamma")
    )
    pool.acquaint(alpha, beta)
    pool.acquaint(beta, gamma)
    asked(gamma, beta)
    assert asked(alpha, beta).offered == 1
    assert addresses(alpha) == {"beta": "http://beta"}
    assert [member.node for member in roster.offered(alpha.node)] == [gamma.id]
    know(alpha, gamma)
    assert roster.offered(alpha.node) == []


def test_who_asks_a_node_whose_operator_decides_is_not_called_before_his_word() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta", policy=Policy(roster="ask"))
    know(alpha, beta)
    asked(alpha, beta)
    assert addresses(beta) == {"alpha": None}
    assert [member.node for member in roster.offered(beta.node)] == [alpha.id]


@pytest.mark.parametrize("policy", ["auto", "ask"])
def test_a_forgotten_member_comes_back_with_the_next_introduction(policy: Any) -> None:
    pool = Pool()
    alpha = pool.add("alpha", policy=Policy(roster=policy))
    beta, gamma = pool.add("beta"), pool.add("gamma")
    pool.acquaint(alpha, beta, gamma)
    asked(gamma, beta)
    asked(alpha, beta)
    assert operating.forget(alpha.node, gamma.id)
    pool.clock.advance(1)
    report = asked(alpha, beta)
    assert (report.added, report.offered) == ((1, 0) if policy == "auto" else (0, 1))
    assert [one.node for one in roster.offered(alpha.node)] == [gamma.id] * report.offered
    assert addresses(alpha).get(gamma.id) == (gamma.address if policy == "auto" else None)


def test_a_forgotten_member_that_calls_before_it_is_introduced_gets_its_address_back() -> None:
    _, alpha, beta, gamma = trio()
    asked(gamma, beta)
    asked(alpha, beta)
    assert operating.forget(alpha.node, gamma.id)
    assert pull(gamma.node, alpha.id).ended == "done"
    assert alpha.peer(gamma).address is None
    assert asked(alpha, beta).moved == 1
    assert alpha.peer(gamma).address == gamma.address


def test_where_it_is_off_nothing_is_asked_and_nothing_answered() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta", policy=Policy(roster="off"))
    pool.acquaint(alpha, beta)
    assert asked(beta, alpha).ended == "off"
    assert alpha.store.members() == []
    report = asked(alpha, beta)
    assert (report.ended, report.pages, report.members) == ("not-supported", 0, 0)
    assert alpha.work.breakers([beta.id])[beta.id] == Breaker()
    assert beta.store.members() == []
    due = alpha.work.dues("roster", [beta.id])[beta.id]
    assert due > alpha.clock.now() + 16 * 3_600_000


def test_with_many_mates_each_is_asked_less_often() -> None:
    pool = Pool()
    alpha = pool.add("alpha", limits=Limits(roster_asks_max=2))
    others = [pool.add(f"n{number}") for number in range(10)]
    pool.acquaint(alpha, *others)
    asked(alpha, others[0])
    due = alpha.work.dues("roster", [others[0].id])[others[0].id]
    seconds = (due - pool.clock.now()) / 1000
    assert 5 * 400 <= seconds <= 5 * 800


def test_members_of_another_pool_are_not_told() -> None:
    pool = Pool()
    other = PrivateKey.generate()
    alpha = pool.add("alpha")
    beta = pool.add("beta", pools=[pool.key, other])
    gamma = pool.add("gamma", pools=[other])
    pool.acquaint(alpha, beta)
    pool.acquaint(beta, gamma)
    asked(gamma, beta)
    assert [member.node for member in beta.store.members()] == [gamma.id]
    asked(alpha, beta)
    assert set(addresses(alpha)) == {"beta"}
    refused = codec.request_tree(Roster(scope=other.public))
    assert read(send(alpha, beta, refused))["code"] == "forbidden"


def test_an_introduction_of_somebody_else_by_the_asker_is_ignored() -> None:
    pool, alpha, beta, _ = trio()
    request = Roster(scope=pool.key.public, introduction=document(pool, "ghost")[0])
    assert read(send(alpha, beta, codec.request_tree(request)))["status"] == "success"
    assert beta.store.members() == []
    assert "ghost" not in addresses(beta)


@pytest.mark.parametrize("introduction", [7, "x", [], {}, {"document": {"id": "alpha"}}])
def test_an_introduction_that_is_none_does_not_spoil_the_question(introduction: Any) -> None:
    pool, alpha, beta, _ = trio()
    request = Roster(scope=pool.key.public, introduction=introduction)
    assert read(send(alpha, beta, codec.request_tree(request)))["status"] == "success"
    assert beta.store.members() == []


def test_a_member_that_nobody_has_introduced_for_a_month_is_forgotten_but_stays_a_peer() -> None:
    pool, alpha, beta, gamma = trio()
    asked(gamma, beta)
    asked(alpha, beta)
    pool.clock.advance(29 * DAY_SECONDS)
    asked(beta, alpha)
    pool.clock.advance(2 * DAY_SECONDS)
    assert roster.drop_old(alpha.node) == 1
    assert [member.node for member in alpha.store.members()] == [beta.id]
    assert set(addresses(alpha)) == {"beta", "gamma"}
    assert gamma.address


def test_members_that_call_without_end_are_answered_but_not_all_are_kept() -> None:
    pool = Pool()
    alpha = pool.add("alpha", limits=Limits(peers_max=3))
    callers = [pool.add(f"n{number}") for number in range(6)]
    for caller in callers:
        caller.store.add_peer(alpha.id, alpha.address, pool.clock.now())
        assert pull(caller.node, alpha.id).ended == "done"
    assert set(addresses(alpha)) == {"n0", "n1", "n2"}
    assert [bool(alpha.store.pins(caller.id)) for caller in callers] == [True] * 3 + [False] * 3
