"""Who a node is: which keys sign when, and what a process without private pool keys may do."""

import pytest

from replicator.errors import ConfigurationError
from replicator.node.identity import Identity
from replicator.protocol import announcement
from replicator.protocol.announcement import Announced, AnnouncedKey, Announcement
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey

NODE = NodeId("alpha.example")
NEW, OLD, OLDEST = (PrivateKey.generate() for _ in range(3))
POOL, HEIR, OTHER = (PrivateKey.generate() for _ in range(3))
UNTIL = 1_700_000_000_000
SAID = Announcement(
    NODE,
    2,
    (
        AnnouncedKey(NEW.public, "current"),
        AnnouncedKey(OLD.public, "current", UNTIL),
        AnnouncedKey(OLDEST.public, "retired"),
    ),
)
ROTATING = Identity(
    NODE, (NEW, OLD, OLDEST), (POOL,), Announced(SAID, announcement.sign(SAID, (NEW, OLD)))
)


def test_without_an_announcement_the_first_key_signs_and_all_verify():
    identity = Identity(NODE, (NEW, OLD))
    assert identity.signing_keys(0) == (NEW,)
    assert identity.key_states(0) == {NEW.public: "current", OLD.public: "current"}


def test_during_an_overlap_all_current_keys_sign_and_afterwards_the_new_one():
    assert ROTATING.signing_keys(UNTIL - 1) == (NEW, OLD)
    assert ROTATING.signing_keys(UNTIL) == (NEW,)
    assert ROTATING.credentials(UNTIL - 1).keys == (
        (NEW.public, "node"),
        (OLD.public, "node"),
        (POOL.public, "pool"),
    )
    assert ROTATING.credentials(UNTIL, ()).keys == ((NEW.public, "node"),)


def test_every_key_counts_for_what_the_announcement_says_at_that_time():
    assert dict(ROTATING.key_states(UNTIL - 1)) == {
        NEW.public: "current",
        OLD.public: "current",
        OLDEST.public: "retired",
    }
    assert ROTATING.key_states(UNTIL)[OLD.public] == "retired"


def test_who_proved_a_pool_reaches_those_it_took_the_place_of():
    identity = Identity(NODE, (NEW,), (HEIR, OTHER), heirs={POOL.public: HEIR.public})
    assert identity.pools == {HEIR.public, OTHER.public}
    assert identity.reach({HEIR.public}) == {HEIR.public, POOL.public}
    assert identity.reach({OTHER.public}) == {OTHER.public}
    assert identity.reach({POOL.public, NEW.public}) == set()


def test_a_process_with_public_pools_only_says_that_it_cannot_sign_for_them():
    identity = Identity(NODE, (NEW,), public_pools=(POOL.public,))
    assert identity.pools == identity.reach({POOL.public}) == {POOL.public}
    for sign in (identity.credentials, lambda _: identity.pool_signers({POOL.public})):
        with pytest.raises(ConfigurationError, match="no private pool keys"):
            sign(0)
    assert identity.pool_signers({OTHER.public}) == ()
    assert identity.credentials(0, {OTHER.public}).keys == ((NEW.public, "node"),)
