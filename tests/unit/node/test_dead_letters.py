"""What is shown as dead is still missing."""

from replicator.node.dead_letters import dead_letters, drop_known
from replicator.node.ports import Incoming, Settlement
from tests.support.pool import Member, pair


def bury(member: Member, holder: Member) -> None:
    """Give up everything that a holder has."""
    now = member.clock.now()
    refs = [post.ref for post in holder.posts()]
    member.work.want(holder.id, refs, now)
    lease = member.work.lease(holder.id, len(refs), 10**6, now)
    assert lease is not None
    dead = {ref.digest: "not given" for ref in refs}
    assert member.work.settle(lease, Settlement(dead=dead), now)


def test_a_letter_counts_until_its_post_came_another_way_or_is_not_wanted():
    _, alpha, beta = pair()
    beta.publish("one", "two", "three")
    bury(alpha, beta)
    held, unwanted, missing = beta.posts()
    assert len(dead_letters(alpha.node)) == 3
    alpha.store.add([Incoming(held, beta.id)], alpha.clock.now())
    alpha.store.decide([unwanted], [], "policy", alpha.clock.now())
    assert [letter.ref for letter in dead_letters(alpha.node)] == [missing.ref]
    assert len(alpha.work.dead(10)) == 3


def test_letters_that_say_nothing_any_more_are_dropped():
    _, alpha, beta = pair()
    beta.publish("one", "two")
    bury(alpha, beta)
    held, missing = beta.posts()
    alpha.store.add([Incoming(held, beta.id)], alpha.clock.now())
    assert drop_known(alpha.node) == 1
    assert [letter.ref for letter in alpha.work.dead(10)] == [missing.ref]
    assert drop_known(alpha.node) == 0
