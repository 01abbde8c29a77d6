"""Backfills: what was refused before comes once the reason is gone, whatever is lost meanwhile."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from replicator.adapters.memory.store import MemoryStore
from replicator.adapters.memory.work import MemoryWorkState
from replicator.errors import ErrorCode, PeerUnavailable
from replicator.limits import Limits
from replicator.node import contact
from replicator.node.backfill import WHOLE, Aim, start
from replicator.node.ports import Incoming, Transport, WireAnswer
from replicator.node.pull import pull
from replicator.node.upkeep import upkeep
from replicator.protocol import codec
from replicator.protocol.ids import Cursor, NodeId
from replicator.protocol.messages import Answer, ErrorAnswer, Filter, PullAnswer
from replicator.protocol.signing import PrivateKey
from replicator.rules.policy import Policy
from tests.support.drifted import over, watched
from tests.support.pool import NOW_MS, Member, Pool, know, pair
from tests.support.relayed import OPEN_TO_PEERS, Relayed, relayed
from tests.support.watched import Watched

READS = Policy(pull="peers", get="peers")


class Patchy:
    """A transport that takes time, and reaches nobody after some calls."""

    def __init__(self, pool: Pool, transport: Transport) -> None:
        self._pool = pool
        self._transport = transport
        self.seconds = 0.0
        self.calls_left = 1_000

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        self._pool.clock.advance(self.seconds)
        self.calls_left -= 1
        if self.calls_left < 0:
            raise PeerUnavailable("gone")
        return self._transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        return self._transport.get(url, seconds=seconds, bytes_max=bytes_max)


def refusing(count: int, **options: object) -> Relayed:
    """Return a scene in which the posts of a log that was read were refused by policy."""
    scene = relayed(here=READS, shares_pool=True, **options)
    scene.hold(*(f"post {number}" for number in range(count)))
    upkeep(scene.here.node)
    pull(scene.here.node, scene.relay.id)
    assert scene.here.digests() == set()
    scene.pin()
    return scene


def widened(scene: Relayed, **changes: object) -> Member:
    """Return the node after its restart with a wider policy."""
    node = replace(scene.here.node, policy=OPEN_TO_PEERS, **changes)
    scene.pool.nodes[scene.here.address] = node
    return replace(scene.here, node=node)


def queries(member: Member) -> list[tuple[str, str]]:
    return [(job.peer, job.query) for job in member.store.backfills()]


def test_a_policy_that_takes_more_has_the_logs_of_peers_looked_through_once() -> None:
    scene = refusing(30)
    here = widened(scene)
    pull(here.node, scene.relay.id)
    assert here.digests() == set()
    upkeep(here.node)
    assert queries(here) == [(scene.relay.id, "{}")]
    report = pull(here.node, scene.relay.id)
    assert (report.backfilled, report.more, report.ended) == (30, False, "done")
    assert here.digests() == scene.origin.digests()
    assert queries(here) == []
    upkeep(here.node)
    assert queries(here) == []
    # back and wide again: what came between is looked for again
    upkeep(scene.here.node)
    upkeep(here.node)
    assert queries(here) == [(scene.relay.id, "{}")]


def test_a_backfill_goes_on_where_it_was_after_a_restart_without_redis() -> None:
    scene = refusing(1_300)
    transport = Patchy(scene.pool, scene.here.node.transport)
    here = widened(scene, transport=transport)
    upkeep(here.node)
    # the main way's page, and two of the backfill (refs, then the same as models) and one more
    transport.calls_left = 4
    assert pull(here.node, scene.relay.id).ended == "PeerUnavailable"
    kept = len(here.digests())
    assert 0 < kept < 1_300
    (job,) = here.store.backfills()
    assert job.cursor is not None
    assert job.posts == kept
    assert job.remaining == 1_300 - kept
    transport.calls_left = 1_000
    again = replace(here, node=replace(here.node, work=MemoryWorkState(Limits())))
    report = pull(again.node, scene.relay.id)
    assert report.backfilled == 1_300 - kept
    assert again.digests() == scene.origin.digests()
    assert queries(here) == []


def test_a_backfill_takes_no_more_than_the_slice_and_rings_for_the_rest() -> None:
    scene = refusing(1_300)
    transport = Patchy(scene.pool, scene.here.node.transport)
    here = widened(scene, transport=transport)
    scene.pool.members[scene.pool.members.index(scene.here)] = here
    upkeep(here.node)
    transport.seconds = 2.0
    here.doorbell.take()
    report = pull(here.node, scene.relay.id)
    assert report.more
    assert 0 < report.backfilled < 1_300
    scene.pool.settle()
    assert here.digests() == scene.origin.digests()


def test_a_peer_whose_log_is_another_one_is_looked_through_anew() -> None:
    scene = refusing(1_100)
    transport = Patchy(scene.pool, scene.here.node.transport)
    here = widened(scene, transport=transport)
    upkeep(here.node)
    transport.calls_left = 3
    pull(here.node, scene.relay.id)
    assert 0 < len(here.digests()) < 1_100
    transport.calls_left = 1_000
    posts = scene.relay.posts()
    rebuilt = over(scene.pool, scene.relay, MemoryStore(Limits()))
    know(rebuilt, here)
    scene.relay = rebuilt
    scene.give(posts)
    for _ in range(4):
        scene.pool.clock.advance(60)
        pull(here.node, scene.relay.id)
    assert here.digests() == scene.origin.digests()
    assert queries(here) == []


def test_while_the_main_way_is_not_at_its_end_a_backfill_waits() -> None:
    scene = refusing(10)
    scene.relay.publish_many(2_000, "new")
    transport = Patchy(scene.pool, scene.here.node.transport)
    transport.seconds = 3.0
    here = widened(scene, transport=transport)
    upkeep(here.node)
    report = pull(here.node, scene.relay.id)
    assert (report.more, report.backfilled) == (True, 0)
    assert [job.cursor for job in here.store.backfills()] == [None]


def forbids(request: codec.Tree) -> Answer | None:
    if "scope" not in request:
        return None
    return ErrorAnswer(code=ErrorCode.FORBIDDEN, message="you are no member")


def disowns(request: codec.Tree) -> Answer | None:
    if "scope" not in request or "after" not in request:
        return None
    return ErrorAnswer(code=ErrorCode.BAD_CURSOR, message="what is that")


def stands_still(request: codec.Tree) -> Answer | None:
    if "scope" not in request:
        return None
    return PullAnswer(refs=(), cursor=request.get("after", "AAAA"), more=True)


def never_ends(request: codec.Tree) -> Answer | None:
    if "scope" not in request:
        return None
    number = int(request.get("after", "c0").removeprefix("c"))
    return PullAnswer(refs=(), cursor=f"c{number + 1}", more=True)


def asking_for_scope(says: Callable[[codec.Tree], Answer | None]) -> tuple[Pool, Member, Watched]:
    """Return a member that read its peer's log and has a backfill; the peer says ``says``."""
    pool, alpha, beta = pair()
    alpha.publish("one")
    pull(beta.node, alpha.id)
    assert start(beta.node, None, "for the test", scope=pool.key.public) == 1
    transport, asker = watched(pool, beta, alpha)
    transport.say = says
    return pool, asker, transport


def test_a_pool_that_the_peer_has_left_is_not_looked_for_in_its_log() -> None:
    _, beta, _ = asking_for_scope(forbids)
    assert pull(beta.node, NodeId("alpha")).ended == "done"
    assert queries(beta) == []


def test_a_peer_that_disowns_each_cursor_has_one_try_a_turn() -> None:
    _, beta, transport = asking_for_scope(disowns)
    (job,) = beta.store.backfills()
    beta.store.move_backfill(job, Cursor("old"), now=NOW_MS)
    report = pull(beta.node, NodeId("alpha"))
    assert (report.ended, report.more) == ("done", False)
    assert [job.cursor for job in beta.store.backfills()] == [None]
    assert transport.calls == {"pull": 2}
    # from the epoch it answers, and that is the end
    pull(beta.node, NodeId("alpha"))
    assert queries(beta) == []


def test_a_page_that_stands_still_ends_a_backfill() -> None:
    _, beta, transport = asking_for_scope(stands_still)
    for _ in range(3):
        pull(beta.node, NodeId("alpha"))
    assert queries(beta) == []
    assert transport.calls["pull"] < 8


def test_pages_without_end_that_bring_nothing_wait_for_the_next_turn() -> None:
    pool, beta, transport = asking_for_scope(never_ends)
    patchy = Patchy(pool, transport)
    patchy.seconds = 1.0
    node = replace(beta.node, transport=patchy)
    report = pull(node, NodeId("alpha"))
    assert not report.more
    assert transport.calls["pull"] <= Limits().slice_seconds + 1
    assert beta.doorbell.take() == []


def test_a_backfill_with_a_filter_brings_only_what_it_names() -> None:
    scene = refusing(5)
    other = scene.pool.add("other", pools=[], policy=OPEN_TO_PEERS)
    know(scene.here, other)
    other.publish("of another")
    scene.relay.store.add([Incoming(post, other.id) for post in other.posts()], NOW_MS)
    here = widened(scene)
    pull(here.node, scene.relay.id)
    assert here.texts() == {"of another"}
    assert start(here.node, Filter(nodes=(other.id,)), "for the test") == 1
    assert pull(here.node, scene.relay.id).backfilled == 0
    assert start(here.node, Filter(nodes=(scene.origin.id,)), "for the test") == 1
    assert pull(here.node, scene.relay.id).backfilled == 5


def test_backfills_are_noted_for_peers_that_may_have_something() -> None:
    scene = relayed(shares_pool=True)
    stranger = scene.pool.add("stranger", pools=[])
    know(scene.here, stranger)
    pulled = scene.here.store.end_cursor()
    for peer in (scene.relay, stranger):
        scene.here.store.record_pull(peer.id, None, pulled, now=NOW_MS)
    new = scene.pool.add("new")
    know(scene.here, new)  # its log is read from the epoch anyway
    silent = NodeId("silent")
    scene.here.store.add_peer(silent, None, NOW_MS)
    scene.here.store.set_paused(scene.relay.id, paused=True)
    assert start(scene.here.node, None, "all") == 2
    assert start(replace(scene.here.node, policy=Policy()), None, "of pools") == 1
    assert start(scene.here.node, None, "one pool", scope=scene.pool.key.public) == 1
    assert start(scene.here.node, None, "no pool", scope=PrivateKey.generate().public) == 0
    assert {job.peer for job in scene.here.store.backfills()} == {scene.relay.id, stranger.id}


def test_posts_that_were_refused_under_other_keys_come_once_the_operator_trusts_them() -> None:
    scene = relayed()
    scene.here.store.pin(scene.origin.id, [PrivateKey.generate().public], "operator", NOW_MS)
    scene.hold("one", "two")
    report = pull(scene.here.node, scene.relay.id)
    assert (report.stored, report.ended) == (0, "done")
    contact.trust(scene.here.node, scene.origin.id, scene.origin.node.identity.public_node_keys)
    assert [job.peer for job in scene.here.store.backfills()] == [scene.relay.id]
    report = pull(scene.here.node, scene.relay.id)
    assert report.backfilled == 2
    assert scene.here.texts() == {"one", "two"}


def test_backfills_go_with_their_peer() -> None:
    _, beta, _ = asking_for_scope(forbids)
    beta.store.forget_peer(NodeId("alpha"))
    assert queries(beta) == []


def test_equal_aims_have_equal_texts() -> None:
    aims = [Aim(Filter(nodes=(NodeId("a"),))), Aim(Filter(nodes=(NodeId("a"),), tags=()))]
    assert aims[0].text == aims[1].text == '{"filter":{"nodes":["a"]}}'
    assert WHOLE == ("{}", '{"again":true}')
