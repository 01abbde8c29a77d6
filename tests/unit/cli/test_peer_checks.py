"""What `replicator doctor` says of a peer that answers."""

from dataclasses import replace
from pathlib import Path

from replicator.cli.findings import Finding, Subject
from replicator.cli.peer_checks import peers
from replicator.node import operating
from replicator.node.announce import announce
from replicator.protocol.signing import PrivateKey, fingerprint
from replicator.settings import Settings
from tests.support.pool import Member, Pool, pair


def findings(one: Member) -> list[Finding]:
    settings = Settings(node_id=one.id, home=Path("home"), database_url="sqlite://")
    found = peers(Subject(settings, one.node))
    return [finding for finding in found if "clock" not in finding.message]


def said(one: Member) -> list[tuple[str, str]]:
    return [(finding.level, finding.message) for finding in findings(one)]


def advised(one: Member) -> list[str]:
    return [finding.advice for finding in findings(one)]


def without_pool_keys(pool: Pool, member: Member) -> None:
    """Let a gateway answer that was given no pool keys: its document names no pool."""
    identity = replace(member.node.identity, pool_keys=())
    pool.nodes[member.address] = replace(member.node, identity=identity)


def test_a_peer_whose_gateway_has_no_pool_keys_shares_the_pools_that_it_proved() -> None:
    pool, alpha, beta = pair()
    without_pool_keys(pool, beta)
    assert ("ok", "beta answers at http://beta") in said(alpha)


def test_a_peer_that_never_proved_a_pool_and_names_none_shares_none() -> None:
    pool, alpha, _ = pair()
    gamma = pool.add("gamma", pools=[])
    alpha.store.forget_peer(pool.members[1].id)
    alpha.store.add_peer(gamma.id, gamma.address, 1)
    alpha.store.pin(gamma.id, sorted(gamma.node.identity.public_node_keys), "operator", 1)
    assert said(alpha)[0] == ("warn", "gamma shares no pool with this node")


def test_a_paused_peer_is_not_said_to_be_kept_out() -> None:
    _, alpha, beta = pair()
    operating.pause(alpha.node, beta.id)
    assert said(alpha) == [
        ("warn", "beta is paused: this node does not call it; its own calls are answered")
    ]
    beta.publish("given while paused")
    announce(beta.node, alpha.id)
    assert alpha.texts() == {"given while paused"}, "what the runbook says of a pause"


def test_a_peer_that_shows_a_revoked_key_is_not_recommended_to_be_trusted() -> None:
    _, alpha, beta = pair()
    (shown,) = beta.node.identity.public_node_keys
    fresh = PrivateKey.generate().public
    alpha.store.repin(beta.id, [fresh], 2)
    assert ("fail", f"beta has another key than the one pinned: {fingerprint(shown)}") in said(
        alpha
    )
    assert any("peers trust beta" in advice for advice in advised(alpha))
    alpha.store.repin(beta.id, [shown], 3)
    alpha.store.repin(beta.id, [fresh], 4, revoke=True)
    assert ("fail", f"beta shows a key that is REVOKED here: {fingerprint(shown)}") in said(alpha)
    assert not any("peers trust" in advice for advice in advised(alpha))
    assert any("do not trust it" in advice for advice in advised(alpha))
