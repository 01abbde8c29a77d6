"""There is always a place for one more backfill, and each that was begun comes to its end."""

from dataclasses import replace

from replicator.limits import Limits
from replicator.node.backfill import WHOLE, start
from replicator.node.ports import Backfill
from replicator.node.pull import pull
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Filter
from replicator.rules.policy import Policy
from tests.support.pool import NOW_MS, Member
from tests.support.relayed import OPEN_TO_PEERS, Relayed, relayed

BOUND = Limits().backfills_per_peer_max
READS = Policy(pull="peers", get="peers")


def tagged(number: int) -> Filter:
    return Filter(tags=(f"tag-{number}",))


def refused(count: int) -> tuple[Relayed, Member]:
    """Return posts, each with a tag of its own, that were refused and would be taken now."""
    scene = relayed(here=READS, shares_pool=True)
    for number in range(count):
        scene.hold(f"post {number}", tags=[f"tag-{number}"])
    pull(scene.here.node, scene.relay.id)
    scene.pin()
    here = replace(scene.here, node=replace(scene.here.node, policy=OPEN_TO_PEERS))
    scene.pool.nodes[here.address] = here.node
    assert here.digests() == set()
    return scene, here


def aim_at(here: Member, *numbers: int) -> None:
    for number in numbers:
        assert start(here.node, tagged(number), f"for {number}") == 1


def jobs(scene: Relayed) -> list[Backfill]:
    return scene.here.store.backfills(scene.relay.id)


def texts(*numbers: int) -> set[str]:
    return {f"post {number}" for number in numbers}


def test_a_crowd_of_invented_peers_leaves_others_their_places() -> None:
    scene, here = refused(3)
    for number in range(400):
        peer = NodeId(f"invented-{number}")
        here.store.add_peer(peer, f"http://{peer}.example", NOW_MS)
        here.store.record_pull(peer, None, here.store.end_cursor(), now=NOW_MS)
    crowd = [peer.id for peer in here.store.peers() if peer.id != scene.relay.id]
    for number in range(BOUND):
        here.store.add_backfills(crowd, f'{{"filter":{{"tags":["{number}"]}}}}', "why", NOW_MS)
    assert len(here.store.backfills()) == 400 * BOUND
    assert start(here.node, Filter(nodes=(scene.origin.id,)), "unblocked") == 401
    assert [job.reason for job in jobs(scene)] == ["unblocked"]
    assert pull(here.node, scene.relay.id).backfilled == 3
    assert len(here.store.backfills()) == 2 * 400


def test_one_aim_too_many_is_widened_and_the_posts_of_each_come() -> None:
    scene, here = refused(BOUND + 3)
    aim_at(here, *range(BOUND))
    assert len(jobs(scene)) == BOUND
    aim_at(here, BOUND)
    assert [job.query in WHOLE for job in jobs(scene)] == [False, True]
    assert jobs(scene)[1].reason == f"for {BOUND}"
    pull(here.node, scene.relay.id)
    assert texts(*range(BOUND + 1)) <= here.texts()
    assert here.digests() == scene.origin.digests()
    assert jobs(scene) == []


def begun(scene: Relayed, here: Member) -> None:
    """Start one through the whole log that is past all posts, as if they were refused still."""
    start(here.node, None, "all")
    (job,) = jobs(scene)
    here.store.move_backfill(job, scene.relay.store.end_cursor(), now=NOW_MS)


def test_an_aim_behind_a_way_through_the_whole_log_is_served_still() -> None:
    scene, here = refused(4)
    begun(scene, here)
    aim_at(here, 2)
    assert [job.query in WHOLE for job in jobs(scene)] == [True, False]
    pull(here.node, scene.relay.id)
    assert here.texts() == texts(2)
    assert jobs(scene) == []


def test_too_many_aims_behind_a_way_through_the_whole_log_come_with_another_one() -> None:
    scene, here = refused(BOUND + 2)
    begun(scene, here)
    aim_at(here, *range(BOUND))
    assert [job.query for job in jobs(scene)] == [*WHOLE]
    pull(here.node, scene.relay.id)
    assert here.digests() == scene.origin.digests()
    assert jobs(scene) == []


def test_aims_without_end_keep_no_way_from_its_end() -> None:
    scene, here = refused(2)
    begun(scene, here)
    under_way = jobs(scene)[0]
    for number in range(10 * BOUND):
        aim_at(here, number)
        assert jobs(scene)[0] == under_way
        assert 2 <= len(jobs(scene)) <= BOUND


def test_a_page_judged_before_the_same_was_asked_for_again_does_not_pass_over_it() -> None:
    scene, here = refused(1)
    aim_at(here, 0)
    (before,) = jobs(scene)
    aim_at(here, 0)
    (anew,) = jobs(scene)
    assert anew.id != before.id
    assert pull(here.node, scene.relay.id).backfilled == 1
