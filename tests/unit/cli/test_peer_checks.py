"""What `replicator doctor` says of a peer that answers."""

from dataclasses import replace
from pathlib import Path

from replicator.cli.findings import Subject
from replicator.cli.peer_checks import peers
from replicator.settings import Settings
from tests.support.pool import Member, Pool, pair


def said(one: Member) -> list[tuple[str, str]]:
    found = peers(
        Subject(Settings(node_id=one.id, home=Path("home"), database_url="sqlite://"), one.node)
    )
    return [(finding.level, finding.message) for finding in found if "clock" not in finding.message]


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
