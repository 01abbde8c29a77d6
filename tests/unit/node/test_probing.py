"""Probing a peer: which of the ends it is, its key, its clock, whatever the breaker says."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from replicator.adapters.memory.clock import ManualClock
from replicator.adapters.memory.transport import LoopTransport
from replicator.errors import PeerRefused, PeerUnavailable
from replicator.node.health import note_failure, reachable
from replicator.node.ports import WireAnswer
from replicator.node.probing import Probed, probe
from replicator.protocol.signing import PrivateKey
from tests.support.pool import NOW_MS, Member, Pool, know, pair


class Broken:
    """A transport behind which a question ends as the test says."""

    def __init__(self, pool: Pool, **ends: WireAnswer | Exception) -> None:
        self._inner = LoopTransport(pool.nodes)
        self._ends = ends
        self.asked: list[str] = []

    def _end(self, verb: str) -> WireAnswer | None:
        self.asked.append(verb)
        end = self._ends.get(verb)
        if isinstance(end, Exception):
            raise end
        return end

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        return self._end("get") or self._inner.get(url, seconds=seconds, bytes_max=bytes_max)

    def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        seconds: float,
        bytes_max: int,
    ) -> WireAnswer:
        return self._end("post") or self._inner.post(
            url, headers, body, seconds=seconds, bytes_max=bytes_max
        )


PAGE = WireAnswer(200, {"content-type": "text/html"}, b"<html>", b"<html>")


def over(pool: Pool, alpha: Member, **ends: WireAnswer | Exception) -> tuple[Member, Broken]:
    """Give a member a transport of the test."""
    broken = Broken(pool, **ends)
    return replace(alpha, node=replace(alpha.node, transport=broken)), broken


def probed(alpha: Member, beta: Member) -> Probed:
    return probe(alpha.node, alpha.peer(beta))


def test_a_good_answer_tells_all_and_closes_the_breaker() -> None:
    _, alpha, beta = pair()
    note_failure(alpha.node, beta.id, RuntimeError("gone"), alpha.clock.now())
    assert not reachable(alpha.node, alpha.peer(beta))
    found = probed(alpha, beta)
    assert (found.end, found.key, found.address) == (None, "pinned", beta.address)
    assert {"pull", "get", "put"} <= set(found.types)
    assert found.clock_ms == 0
    assert found.round_trip_ms is not None
    assert reachable(alpha.node, alpha.peer(beta))
    assert probed(alpha, beta) == found


def test_a_peer_that_is_away_is_asked_once_and_nothing_is_counted() -> None:
    pool, alpha, beta = pair()
    away, broken = over(pool, alpha, get=PeerUnavailable("refused"))
    found = probed(away, beta)
    assert (found.end, found.reason, found.key) == ("unreachable", "refused", "unknown")
    assert broken.asked == ["get"]
    assert reachable(alpha.node, alpha.peer(beta)), "the operator's question is no failure"


def test_a_bad_answer_leaves_the_breaker_as_it_is() -> None:
    pool, alpha, beta = pair()
    note_failure(alpha.node, beta.id, RuntimeError("gone"), alpha.clock.now())
    before = alpha.work.breakers([beta.id])
    away, _ = over(pool, alpha, post=PeerUnavailable("cut off"))
    found = probed(away, beta)
    assert (found.end, found.key) == ("unreachable", "pinned")
    assert alpha.work.breakers([beta.id]) == before


def test_a_busy_peer_is_told_from_one_that_is_away() -> None:
    pool, alpha, beta = pair()
    away, _ = over(pool, alpha, post=PeerUnavailable("busy: later", retry_after=7))
    assert probed(away, beta).end == "busy"


@pytest.mark.parametrize("verb", ["get", "post"])
def test_something_else_than_a_node_is_malformed(verb: str) -> None:
    pool, alpha, beta = pair()
    away, broken = over(pool, alpha, **{verb: PAGE})
    assert probed(away, beta).end == "malformed"
    assert broken.asked == ["get", "post"]


def test_a_refusal_is_named_with_its_words() -> None:
    _, alpha, beta = pair()
    beta.store.forget_peer(alpha.id)
    no_member = replace(alpha.node.identity, pool_keys=())
    alone = replace(alpha, node=replace(alpha.node, identity=no_member))
    found = probed(alone, beta)
    assert found.end == "refused"
    assert "unknown-sender" in found.reason


def test_a_peer_that_does_not_speak_what_is_asked_is_unsupported() -> None:
    pool, alpha, beta = pair()
    away, _ = over(pool, alpha, post=PeerRefused("not-supported", "no pull here"))
    found = probed(away, beta)
    assert (found.end, found.reason) == ("unsupported", "not-supported: no pull here")


def test_another_key_is_changed() -> None:
    _, alpha, beta = pair()
    alpha.store.repin(beta.id, [PrivateKey.generate().public], NOW_MS)
    found = probed(alpha, beta)
    assert (found.end, found.key) == ("malformed", "changed")


def test_a_first_key_is_new() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    know(beta, alpha)
    alpha.store.add_peer(beta.id, beta.address, NOW_MS)
    assert probed(alpha, beta).key == "new"
    assert probed(alpha, beta).key == "pinned"


def test_at_its_address_may_be_somebody_else() -> None:
    pool, alpha, beta = pair()
    gamma = pool.add("gamma")
    alpha.store.add_peer(beta.id, gamma.address, NOW_MS)
    found = probed(alpha, beta)
    assert found.end == "malformed"
    assert "gamma" in found.reason


def test_a_clock_that_is_wrong_is_named_and_learned() -> None:
    pool = Pool()
    alpha = pool.add("alpha")
    beta = pool.add("beta", clock=ManualClock(NOW_MS + 3_600_000))
    pool.acquaint(alpha, beta)
    found = probed(alpha, beta)
    assert found.end is None
    assert found.clock_ms == found.offset_ms == 3_600_000


def test_a_peer_without_address_cannot_be_probed() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    alpha.store.add_peer(beta.id, None, NOW_MS)
    with pytest.raises(PeerUnavailable, match="no address"):
        probed(alpha, beta)


def test_a_paused_peer_may_be_probed() -> None:
    _, alpha, beta = pair()
    alpha.store.set_paused(beta.id, paused=True)
    assert probed(alpha, beta).end is None
    assert alpha.peer(beta).paused
