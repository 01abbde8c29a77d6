"""Which announcements of keys count, and what they make of pins: the table of `rules.rekeying`."""

import dataclasses

import pytest

from replicator.limits import Limits
from replicator.node.ports import Pin
from replicator.protocol.announcement import AnnouncedKey, Announcement
from replicator.protocol.ids import KeyText, NodeId
from replicator.rules.rekeying import DAY_MS, KNOWN, judge

NOW = 1_700_000_000_000
LIMITS = Limits()
LATEST = NOW + int(LIMITS.key_overlap_seconds_max * 1000) + DAY_MS
NO_SIGNER = "no key that is current here signed it"
UNSIGNED = "a key that it calls current did not sign it"
TOO_LONG = "a key of it would last longer than an overlap may"
NONE_LEFT = "no key would be current"


def key(name: str) -> KeyText:
    return KeyText(f"ed25519:{name:A<43}")


def pin(name: str, state="current", until: int | None = None, at: int = 0) -> Pin:
    return Pin(key(name), state, at, "pool", until)


def said(*entries: tuple, serial: int = 1) -> Announcement:
    keys = tuple(AnnouncedKey(key(name), *rest) for name, *rest in entries)
    return Announcement(NodeId("a.example"), serial, keys)


def judged(announcement, signers, pins, serial=0, now=NOW, limits=LIMITS):
    result = judge(announcement, {key(name) for name in signers}, pins, serial, now, limits)
    if isinstance(result, str):
        return result
    names = {key(name): name for name in "onsrx"}
    return {(names[entry.key], entry.state, entry.until) for entry in result}


OVERLAP = said(("n", "current"), ("o", "current", NOW + 9))


@pytest.mark.parametrize(
    ("announcement", "signers", "pins", "result"),
    [
        # a rotation with an overlap, and one that was not heard of before its end
        (OVERLAP, "no", [pin("o")], {("n", "current", None), ("o", "current", NOW + 9)}),
        (
            said(("n", "current"), ("o", "retired")),
            "no",
            [pin("o")],
            {("n", "current", None), ("o", "retired", None)},
        ),
        # signed by none that counts: a stranger, a retired key, one at its end, a revoked one
        (OVERLAP, "no", [pin("x")], NO_SIGNER),
        (OVERLAP, "no", [], NO_SIGNER),
        (OVERLAP, "no", [pin("o", "retired"), pin("x")], NO_SIGNER),
        (OVERLAP, "no", [pin("o", "current", NOW), pin("x")], NO_SIGNER),
        (OVERLAP, "no", [pin("o", "revoked"), pin("x")], NO_SIGNER),
        (OVERLAP, "n", [pin("o")], NO_SIGNER),
        # whoever is called current signed
        (OVERLAP, "o", [pin("o")], UNSIGNED),
        # a key that was revoked here does not come back, with or without another one
        (
            said(("n", "current"), ("r", "current")),
            "nro",
            [pin("n"), pin("r", "revoked")],
            {("n", "current", None), ("r", "revoked", None)},
        ),
        (
            said(("n", "current"), ("r", "retired")),
            "nr",
            [pin("n"), pin("r", "revoked")],
            {("n", "current", None), ("r", "revoked", None)},
        ),
        (said(("r", "current")), "ro", [pin("o"), pin("r", "revoked")], NONE_LEFT),
        # what it does not list is retired; what was revoked stays so
        (
            said(("n", "current")),
            "no",
            [pin("o"), pin("s", "retired"), pin("r", "revoked")],
            {
                ("n", "current", None),
                ("o", "retired", None),
                ("s", "retired", None),
                ("r", "revoked", None),
            },
        ),
        # one that is current now remains
        (said(("n", "current", NOW), ("o", "retired")), "no", [pin("o")], NONE_LEFT),
        (
            said(("n", "current", NOW + 1), ("o", "revoked")),
            "no",
            [pin("o")],
            {("n", "current", NOW + 1), ("o", "revoked", None)},
        ),
        # how long an overlap may be
        (
            said(("n", "current"), ("o", "current", LATEST)),
            "no",
            [pin("o")],
            {("n", "current", None), ("o", "current", LATEST)},
        ),
        (said(("n", "current"), ("o", "current", LATEST + 1)), "no", [pin("o")], TOO_LONG),
    ],
)
def test_what_an_announcement_makes_of_pins(announcement, signers, pins, result):
    assert judged(announcement, signers, pins) == result


@pytest.mark.parametrize(("serial", "counts"), [(0, True), (1, False), (2, False)])
def test_only_a_greater_serial_counts(serial, counts):
    result = judged(OVERLAP, "no", [pin("o")], serial)
    assert (result != KNOWN) is counts


def test_serial_zero_never_counts():
    zero = said(("n", "current"), ("o", "current"), serial=0)
    assert judged(zero, "no", [pin("o")]) == KNOWN


def test_of_too_many_keys_the_oldest_retired_ones_go_first_and_then_revoked_ones():
    pins = [pin("o"), pin("s", "retired"), pin("r", "revoked"), pin("x", "retired")]
    listed = said(("n", "current"), ("o", "current", NOW + 9))

    def left(most: int) -> set[str]:
        limits = dataclasses.replace(LIMITS, pins_per_node_max=most, node_keys_max=min(most, 16))
        return {name for name, *_ in judged(listed, "no", pins, limits=limits)}

    assert [left(most) for most in (5, 4, 3, 2, 1)] == [
        {"n", "o", "s", "r", "x"},
        {"n", "o", "r", "x"},
        {"n", "o", "r"},
        {"n", "o"},
        {"n", "o"},
    ]
