"""Peers follow a node to the keys it announces, and nobody else leads them away."""

from dataclasses import replace
from typing import Any

import pytest

from replicator.errors import ErrorCode, KeyChanged
from replicator.node import node_page, operating
from replicator.node.contact import accept, introduce, trust
from replicator.node.conversation import call
from replicator.node.introductions import take
from replicator.node.looking import look
from replicator.node.ports import Member as Introduced
from replicator.node.probing import probe
from replicator.node.pull import pull
from replicator.node.reconciler import tick, wake
from replicator.node.rekeying import take_announcement
from replicator.node.roster import ask_members
from replicator.protocol import announcement, codec, node_document
from replicator.protocol.announcement import Announced, AnnouncedKey, Announcement
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.messages import Pull, Put
from replicator.protocol.node_document import NodeDocument
from replicator.protocol.signing import PrivateKey
from replicator.rules import key_life
from replicator.rules.breaker import Breaker
from tests.support.pool import Member, Pool, breaker_of, know, pair, read, send, trio

DAY = 86_400_000
DAY_SECONDS = DAY // 1000
NEW, LATEST, STRANGE = (PrivateKey.generate() for _ in range(3))
PULL = codec.request_tree(Pull(limit=1))


def become(pool: Pool, member: Member, **changes: Any) -> Member:
    """Return the member as it is after a restart with other keys."""
    node = replace(member.node, identity=replace(member.node.identity, **changes))
    renewed = replace(member, node=node)
    pool.nodes[member.address] = node
    pool.members[pool.members.index(member)] = renewed
    return renewed


def announcing(pool: Pool, member: Member, after: Announcement, *fresh: PrivateKey) -> Member:
    """Return the member with an announcement, and the keys that its document may list."""
    keys = (*fresh, *member.node.identity.node_keys)
    listed = {entry.key: entry.state for entry in after.keys}
    signers = [key for key in keys if key.public in listed]
    said = Announced(after, announcement.sign(after, signers))
    kept = tuple(key for key in signers if listed[key.public] != "revoked")
    return become(pool, member, node_keys=kept, announced=said)


def standing(member: Member) -> Announcement:
    identity = member.node.identity
    if identity.announced is not None:
        return identity.announced.content
    return key_life.founding(member.id, [key.public for key in identity.node_keys])


def rotated(pool: Pool, member: Member, key: PrivateKey = NEW, *, overlap: int = DAY) -> Member:
    """Return the member after a rotation to ``key`` and a restart."""
    after = key_life.rotated(standing(member), key.public, member.clock.now(), overlap, 16)
    return announcing(pool, member, after, key)


def revoked(pool: Pool, member: Member, key: KeyText) -> Member:
    """Return the member after it revoked ``key``, and a restart."""
    return announcing(pool, member, key_life.revoked(standing(member), key, member.clock.now()))


def thief(member: Member, *keys: PrivateKey) -> Member:
    """Return who speaks in the member's name with keys of his choice."""
    identity = replace(member.node.identity, node_keys=keys, announced=None)
    return replace(member, node=replace(member.node, identity=identity))


def pins(one: Member, other: Member) -> dict[KeyText, tuple[str, int | None]]:
    return {pin.key: (pin.state, pin.until) for pin in one.store.pins(other.id)}


def old_key(member: Member) -> PrivateKey:
    return member.node.identity.node_keys[-1]


def document_of(member: Member) -> NodeDocument:
    return node_document.read_tree(codec.read(node_page.current(member.node), dict[str, Any]))


def looked(pool: Pool, member: Member) -> list[str]:
    """Tick once and do what it rings for; return whose keys were looked at."""
    assert tick(member.node).look >= 0
    return [ring.peer for ring in pool.settle() if ring.task == "look" and ring.peer]


# --- how the news comes ---------------------------------------------------------------------------


def test_a_message_signed_by_a_new_key_beside_a_known_one_leads_to_the_new_one() -> None:
    pool, alpha, beta = pair()
    old = old_key(alpha).public
    alpha = rotated(pool, alpha)
    end = pool.clock.now() + DAY
    assert read(send(alpha, beta, PULL))["status"] == "success"
    assert pins(beta, alpha) == {old: ("current", None)}
    assert looked(pool, beta) == [alpha.id]
    assert pins(beta, alpha) == {old: ("current", end), NEW.public: ("current", None)}
    assert beta.store.key_serial(alpha.id) == 1
    sources = {pin.key: pin.source for pin in beta.store.pins(alpha.id)}
    assert sources == {old: "operator", NEW.public: "announcement"}


def test_an_answer_signed_by_a_new_key_beside_a_known_one_leads_to_the_new_one() -> None:
    pool, alpha, beta = pair()
    alpha = rotated(pool, alpha)
    call(beta.node, beta.peer(alpha), Pull(limit=1))
    assert looked(pool, beta) == [alpha.id]
    assert NEW.public in pins(beta, alpha)


def test_a_roster_question_brings_the_news_where_nobody_can_be_called() -> None:
    pool, alpha, beta = pair()
    alpha = rotated(pool, alpha)
    beta.store.forget_peer(alpha.id)
    nowhere = replace(alpha, node=replace(alpha.node, address=None))
    beta.store.add_peer(alpha.id, None, 0)
    beta.store.pin(alpha.id, [old_key(alpha).public], "operator", 0)
    beta.store.join_pools(alpha.id, [pool.key.public])
    pool.nodes[alpha.address] = nowhere.node
    assert ask_members(nowhere.node, beta.id).ended == "done"
    assert NEW.public in pins(beta, alpha)


def test_a_member_of_the_pool_tells_others_of_it_too() -> None:
    pool, alpha, beta, gamma = trio()
    alpha = rotated(pool, alpha)
    ask_members(alpha.node, beta.id)
    assert ask_members(gamma.node, beta.id).ended == "done"
    assert NEW.public in pins(gamma, alpha)


def test_after_a_start_a_node_that_announces_its_keys_introduces_itself_soon() -> None:
    pool, alpha, beta = pair()
    alpha.work.set_dues("roster", {beta.id: pool.clock.now() + DAY})
    wake(alpha.node)
    assert alpha.work.dues("roster", [beta.id])[beta.id] == pool.clock.now() + DAY
    alpha = rotated(pool, alpha)
    wake(alpha.node)
    soon = pool.clock.now() + 1 + int(alpha.node.limits.wake_seconds * 1000)
    assert pool.clock.now() < alpha.work.dues("roster", [beta.id])[beta.id] <= soon


def test_who_was_away_for_the_whole_overlap_follows_after_a_changed_key() -> None:
    pool, alpha, beta = pair()
    alpha.publish("before")
    pool.settle()
    old = old_key(alpha).public
    alpha = rotated(pool, alpha)
    pool.clock.advance(2 * DAY_SECONDS)
    alpha.publish("after")
    alpha.doorbell.take()
    assert read(send(thief(alpha, NEW), beta, PULL))["code"] == "key-changed"
    with pytest.raises(KeyChanged):
        call(beta.node, beta.peer(alpha), Pull(limit=1))
    assert pull(beta.node, alpha.id).ended != "done"
    assert breaker_of(beta, alpha) != Breaker()
    assert looked(pool, beta) == [alpha.id]
    assert pins(beta, alpha)[NEW.public] == ("current", None)
    (end,) = (pin.until for pin in beta.store.pins(alpha.id) if pin.key == old)
    assert end is not None
    assert end < pool.clock.now(), "it counts as retired"
    assert breaker_of(beta, alpha) == Breaker()
    assert pull(beta.node, alpha.id).ended == "done"
    pool.settle()
    assert beta.texts() == {"before", "after"}


def test_posts_that_were_refused_under_a_key_not_yet_known_come_later() -> None:
    pool, alpha, beta, gamma = trio()
    alpha = rotated(pool, alpha, overlap=0)
    alpha.publish("under the new key")
    (post,) = alpha.posts()
    alpha.doorbell.take()
    know_anew(gamma, alpha)
    pull(gamma.node, alpha.id)
    assert gamma.texts() == {"under the new key"}
    put = codec.request_tree(Put(models=(codec.model_tree(post),)))
    (item,) = read(send(gamma, beta, put))["items"]
    assert (item["result"], item["reason"]) == ("refused", "origin-key")
    pull(beta.node, gamma.id)
    assert beta.texts() == set()
    beta.work.note_look(alpha.id, "strange", pool.clock.now())
    assert looked(pool, beta) == [alpha.id]
    now = pool.clock.now()
    dues = beta.work.dues("repair", [gamma.id])
    assert 0 < dues[gamma.id] <= now
    for _ in range(3):
        tick(beta.node)
        pool.settle()
        pool.clock.advance(20)
    assert beta.texts() == {"under the new key"}


def test_a_node_that_leaves_its_keys_all_the_time_has_others_search_once_an_hour() -> None:
    pool, alpha, beta, gamma = trio()
    pull(beta.node, gamma.id)
    searches = []
    for number in range(3):
        alpha = rotated(pool, alpha, PrivateKey.generate(), overlap=0)
        beta.work.set_dues("repair", {gamma.id: pool.clock.now() + DAY})
        assert take_announcement(beta.node, document_of(alpha))
        searches.append(beta.work.dues("repair", [gamma.id])[gamma.id] <= pool.clock.now())
        pool.clock.advance(1 if number == 0 else 3_601)
    assert searches == [True, False, True]


def know_anew(one: Member, other: Member) -> None:
    one.store.forget_peer(other.id)
    know(one, other)


# --- what counts ----------------------------------------------------------------------------------


def test_a_key_admits_nobody_after_its_end_and_still_counts_for_posts() -> None:
    pool, alpha, beta = pair()
    old = old_key(alpha)
    alpha.publish("old")
    (post,) = alpha.posts()
    alpha.doorbell.take()
    alpha = rotated(pool, alpha)
    take_announcement(beta.node, document_of(alpha))
    assert read(send(thief(alpha, old), beta, PULL))["status"] == "success"
    pool.clock.advance(DAY_SECONDS)
    assert read(send(thief(alpha, old), beta, PULL))["code"] == "key-changed"
    assert read(send(alpha, beta, PULL))["status"] == "success"
    put = codec.request_tree(Put(models=(codec.model_tree(post),)))
    assert read(send(alpha, beta, put))["items"][0]["result"] == "stored"


def test_a_revoked_key_admits_nobody_and_brings_no_new_post_and_what_is_held_stays() -> None:
    pool, alpha, beta = pair()
    old = old_key(alpha)
    alpha.publish("held")
    pool.settle()
    alpha = rotated(pool, alpha)
    take_announcement(beta.node, document_of(alpha))
    alpha = revoked(pool, alpha, old.public)
    assert read(send(alpha, beta, PULL))["status"] == "success"
    assert looked(pool, beta) == [alpha.id], "a key that should have signed did not"
    assert pins(beta, alpha)[old.public] == ("revoked", None)
    forger = pool.add("forger")
    node = replace(forger.node, identity=alpha.node.identity)
    forging = thief(replace(forger, node=node), old)
    forging.publish("forged")
    (forged,) = forging.posts()
    put = codec.request_tree(Put(models=(codec.model_tree(forged),)))
    assert read(send(thief(alpha, old), beta, put))["code"] == "key-changed"
    (item,) = read(send(alpha, beta, put))["items"]
    assert (item["result"], item["reason"]) == ("refused", "origin-key")
    assert beta.texts() == {"held"}


def test_the_document_of_a_thief_with_a_revoked_key_changes_nothing() -> None:
    pool, alpha, beta = pair()
    old = old_key(alpha)
    alpha = revoked(pool, rotated(pool, alpha), old.public)
    take_announcement(beta.node, document_of(alpha))
    known = pins(beta, alpha)
    robber = thief(alpha, old)
    entries = (AnnouncedKey(STRANGE.public, "current"), AnnouncedKey(old.public, "current"))
    said = Announcement(alpha.id, 99, entries)
    tree = announcement.sign(said, (STRANGE, old))
    identity = replace(
        robber.node.identity, node_keys=(STRANGE, old), announced=Announced(said, tree)
    )
    robber = replace(robber, node=replace(robber.node, identity=identity))
    assert not take_announcement(beta.node, document_of(robber))
    page = node_page.current(robber.node)
    assert take(beta.node, pool.key.public, [page], NodeId("teller")).ignored == 1
    assert (pins(beta, alpha), beta.store.key_serial(alpha.id)) == (known, 2)


def test_nothing_announced_pins_a_node_that_is_not_pinned_or_this_one() -> None:
    pool, alpha, beta = pair()
    alpha = rotated(pool, alpha)
    beta.store.forget_peer(alpha.id)
    assert not take_announcement(beta.node, document_of(alpha))
    assert beta.store.pins(alpha.id) == ()
    assert not take_announcement(alpha.node, document_of(alpha))


def test_an_older_announcement_changes_nothing_after_a_newer_one() -> None:
    pool, alpha, beta = pair()
    first = rotated(pool, alpha)
    second = rotated(pool, first, LATEST)
    assert take_announcement(beta.node, document_of(second))
    known = pins(beta, alpha)
    for member in (first, second):
        assert not take_announcement(beta.node, document_of(member))
    assert pins(beta, alpha) == known


# --- first pins, the operator ---------------------------------------------------------------------


def retired_and_revoked(pool: Pool, alpha: Member) -> tuple[Member, dict[KeyText, Any]]:
    """Return a member with keys of all states, and the pins that whoever meets it has."""
    oldest = old_key(alpha).public
    alpha = rotated(pool, alpha, overlap=0)
    alpha = rotated(pool, alpha, LATEST)
    alpha = revoked(pool, alpha, NEW.public)
    return alpha, {
        LATEST.public: ("current", None),
        oldest: ("retired", None),
        NEW.public: ("revoked", None),
    }


def test_a_node_is_pinned_as_it_announces_itself_whoever_introduces_it() -> None:
    pool, alpha, beta, gamma = trio()
    alpha, expected = retired_and_revoked(pool, alpha)
    for one in (beta, gamma):
        one.store.forget_peer(alpha.id)
    accept(beta.node, introduce(beta.node, alpha.address))
    assert pins(beta, alpha) == expected
    beta.store.join_pools(alpha.id, [pool.key.public])
    beta.store.note_member(introduced(pool, alpha), pool.clock.now())
    assert ask_members(gamma.node, beta.id).added == 1
    assert pins(gamma, alpha) == expected
    gamma.store.forget_peer(alpha.id)
    operating.add(gamma.node, alpha.id, None, document_of(alpha))
    assert pins(gamma, alpha) == expected


def introduced(pool: Pool, member: Member) -> Introduced:
    """Return how others keep the document of a member."""
    page = codec.read(node_page.current(member.node), dict[str, Any])
    document = node_document.compact(page)
    return Introduced(member.id, frozenset({pool.key.public}), document, pool.clock.now())


def test_adding_or_probing_a_known_peer_takes_what_it_announces() -> None:
    pool, alpha, beta, gamma = trio()
    alpha = rotated(pool, alpha)
    pool.clock.advance(2 * DAY_SECONDS)
    accept(beta.node, introduce(beta.node, alpha.address))
    assert NEW.public in pins(beta, alpha)
    probed = probe(gamma.node, gamma.peer(alpha))
    assert (probed.end, probed.key) == (None, "pinned")
    assert NEW.public in pins(gamma, alpha)


def test_after_the_operators_word_the_node_can_announce_keys_again() -> None:
    pool, alpha, beta = pair()
    for key in (NEW, LATEST):
        alpha = rotated(pool, alpha, key)
        take_announcement(beta.node, document_of(alpha))
    assert beta.store.key_serial(alpha.id) == 2
    lost = become(pool, alpha, node_keys=(STRANGE,), announced=None)
    assert read(send(lost, beta, PULL))["code"] == "key-changed"
    assert look(beta.node, alpha.id).ended == "nothing new"
    trust(beta.node, alpha.id, [STRANGE.public])
    assert read(send(lost, beta, PULL))["status"] == "success"
    again = rotated(pool, lost)
    assert take_announcement(beta.node, document_of(again))
    assert beta.store.key_serial(alpha.id) == 1


# --- noise ----------------------------------------------------------------------------------------


class Counting:
    """A transport that counts the documents read through it."""

    def __init__(self, pool: Pool) -> None:
        self.inner = pool.transport
        self.gets = 0

    def post(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner.post(*args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self.gets += 1
        return self.inner.get(*args, **kwargs)


def test_any_number_of_envelopes_with_junk_keys_costs_one_look_per_minute() -> None:
    pool, alpha, beta = pair()
    counting = Counting(pool)
    beta = become_node(pool, beta, transport=counting)
    known = pins(beta, alpha)
    for _ in range(600):
        for _ in range(3):
            junk = thief(alpha, PrivateKey.generate())
            assert read(send(junk, beta, PULL))["code"] == ErrorCode.KEY_CHANGED
        tick(beta.node)
        pool.settle()
        pool.clock.advance(1)
    assert 7 <= counting.gets <= 16, "ten minutes, one pause a minute give or take a third"
    assert pins(beta, alpha) == known


def become_node(pool: Pool, member: Member, **changes: Any) -> Member:
    renewed = replace(member, node=replace(member.node, **changes))
    pool.nodes[member.address] = renewed.node
    pool.members[pool.members.index(member)] = renewed
    return renewed


def test_a_peer_that_signs_with_fewer_keys_than_are_pinned_is_looked_at_each_hour() -> None:
    pool, alpha, beta = pair()
    beta.store.repin(alpha.id, [old_key(alpha).public, NEW.public], 0)
    counting = Counting(pool)
    beta = become_node(pool, beta, transport=counting)
    for _ in range(120):
        send(alpha, beta, PULL)
        tick(beta.node)
        pool.settle()
        pool.clock.advance(60)
    assert 2 <= counting.gets <= 4


def test_who_has_no_address_or_is_paused_or_unknown_is_not_looked_at() -> None:
    pool, alpha, beta = pair()
    junk = thief(alpha, STRANGE)
    beta.store.set_paused(alpha.id, paused=True)
    send(junk, beta, PULL)
    beta.store.forget_peer(alpha.id)
    beta.store.pin(alpha.id, [old_key(alpha).public], "pool", 0)
    assert read(send(junk, beta, PULL))["code"] == "key-changed"
    beta.store.add_peer(alpha.id, None, 0)
    send(junk, beta, PULL)
    assert looked(pool, beta) == []


def test_a_peer_that_does_not_answer_is_not_called_for_its_keys() -> None:
    pool, alpha, beta = pair()
    pool.transport.cut(alpha.address)
    pull(beta.node, alpha.id)
    assert look(beta.node, alpha.id).ended == "not reachable"


def test_a_forgotten_node_comes_back_under_other_keys_than_those_that_were_revoked() -> None:
    pool, alpha, beta = pair()
    old = old_key(alpha)
    trust(beta.node, alpha.id, [NEW.public], revoke=True)
    assert operating.forget(beta.node, alpha.id)
    # by itself: the key counts as little as before
    assert read(send(alpha, beta, PULL))["code"] == ErrorCode.KEY_CHANGED
    with pytest.raises(KeyChanged, match="revoked"):
        accept(beta.node, introduce(beta.node, alpha.address))
    renewed = become(pool, alpha, node_keys=(NEW,))
    accept(beta.node, introduce(beta.node, renewed.address))
    assert {key: state for key, (state, _) in pins(beta, renewed).items()} == {
        NEW.public: "current",
        old.public: "revoked",
    }
