"""What a node's own announcement becomes: the rules of rotation, revocation and succession."""

import pytest

from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.protocol.announcement import AnnouncedKey, Announcement
from replicator.protocol.ids import KeyText, NodeId
from replicator.rules.key_life import (
    check_signers,
    founding,
    heirs_of,
    is_rotating,
    revoked,
    rotated,
    settled,
    states,
)

NODE = NodeId("alpha.example")
A, B, C, D = (KeyText(f"ed25519:{letter * 43}") for letter in "AEIM")
NOW, DAY = 1_700_000_000_000, 86_400_000
KEYS_MAX = Limits().node_keys_max


def listed(announcement: Announcement) -> list[tuple[KeyText, str, int | None]]:
    return [(entry.key, entry.state, entry.until) for entry in announcement.keys]


def test_before_the_first_rotation_the_newest_key_signs_and_others_verify():
    first = founding(NODE, [B, A])
    assert (first.id, first.serial) == (NODE, 0)
    assert listed(first) == [(B, "current", None), (A, "retired", None)]


def test_a_rotation_gives_the_keys_before_it_an_end():
    first = rotated(founding(NODE, [A]), B, NOW, DAY, KEYS_MAX)
    assert first.serial == 1
    assert listed(first) == [(B, "current", None), (A, "current", NOW + DAY)]
    assert is_rotating(first, NOW)
    assert not is_rotating(first, NOW + DAY)
    assert states(first, NOW + DAY - 1) == {B: "current", A: "current"}
    assert states(first, NOW + DAY) == {B: "current", A: "retired"}


def test_a_rotation_within_a_rotation_gives_nobody_a_later_end():
    first = rotated(founding(NODE, [A]), B, NOW, DAY, KEYS_MAX)
    second = rotated(first, C, NOW + 1, 5 * DAY, KEYS_MAX)
    assert second.serial == 2
    assert listed(second) == [
        (C, "current", None),
        (B, "current", NOW + 1 + 5 * DAY),
        (A, "current", NOW + DAY),
    ]


def test_the_next_rotation_calls_retired_what_has_come_to_its_end():
    first = rotated(founding(NODE, [A]), B, NOW, DAY, KEYS_MAX)
    assert settled(first, NOW + DAY).serial == first.serial
    second = rotated(first, C, NOW + DAY, DAY, KEYS_MAX)
    assert listed(second)[2] == (A, "retired", None)


def test_without_an_overlap_the_key_before_retires_at_once():
    first = rotated(founding(NODE, [A]), B, NOW, 0, KEYS_MAX)
    assert listed(first) == [(B, "current", None), (A, "retired", None)]


def test_a_full_list_loses_the_oldest_revoked_key_first_then_the_oldest_retired_one():
    keys = [AnnouncedKey(B, "current"), AnnouncedKey(A, "retired"), AnnouncedKey(C, "revoked")]
    full = Announcement(NODE, 7, tuple(keys))
    assert [key for key, *_ in listed(rotated(full, D, NOW, DAY, 3))] == [D, B, A]
    assert [key for key, *_ in listed(rotated(full, D, NOW, DAY, 2))] == [D, B]
    assert len(rotated(full, D, NOW, DAY, 1).keys) == 2, "no key that signs is left out"


def test_a_revoked_key_stays_listed_without_an_end():
    first = rotated(founding(NODE, [A]), B, NOW, DAY, KEYS_MAX)
    after = revoked(first, A, NOW)
    assert after.serial == 2
    assert listed(after) == [(B, "current", None), (A, "revoked", None)]


@pytest.mark.parametrize("key", [B, D])
def test_the_last_lasting_key_and_an_unknown_one_are_not_revoked(key):
    first = rotated(founding(NODE, [A]), B, NOW, DAY, KEYS_MAX)
    with pytest.raises(ConfigurationError):
        revoked(first, key, NOW)


def test_a_retired_key_can_be_revoked():
    first = rotated(founding(NODE, [A]), B, NOW, 0, KEYS_MAX)
    assert states(revoked(first, A, NOW), NOW) == {B: "current", A: "revoked"}


@pytest.mark.parametrize(
    ("taken", "held", "heirs"),
    [
        ({}, {A}, {}),
        ({A: B}, {A, B}, {A: B}),
        ({A: B}, {B}, {A: B}),
        ({A: B}, {A}, {}),
        ({A: B, B: C}, {A, B, C}, {A: C, B: C}),
        ({A: B, B: C}, {A, B}, {A: B}),
        ({A: B, B: C}, {C}, {A: C, B: C}),
    ],
)
def test_a_pool_is_stood_for_by_the_last_held_one_that_took_its_place(taken, held, heirs):
    assert heirs_of(taken, held) == heirs


@pytest.mark.parametrize("taken", [{A: A}, {A: B, B: A}, {A: B, B: C, C: B}])
def test_pools_that_replace_each_other_are_refused(taken):
    with pytest.raises(ConfigurationError, match="replace each other"):
        heirs_of(taken, {A, B, C})


def test_no_more_keys_sign_than_a_message_and_a_post_may_carry():
    check_signers(2, 6, Limits())
    with pytest.raises(ConfigurationError, match="leave a pool"):
        check_signers(2, 7, Limits())
