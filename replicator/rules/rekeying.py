"""What a node's key announcement changes for a reader who has pins of that node; pure.

An announcement counts where
1. its serial is greater than that of the last one taken of its node;
2. a key signed it that is pinned here as current; what is retired or revoked introduces nothing;
3. every key that it calls current signed it;
4. no key lasts longer than any rotation takes;
5. and one key is current afterwards.

Then the pins are as it says, except that a key that is revoked here stays so whatever is announced
(only the operator's word brings it back), and that keys it does not list are retired: the posts
that they signed go on counting.
"""

from collections.abc import Collection, Sequence
from typing import Final

from replicator.limits import Limits
from replicator.protocol.announcement import AnnouncedKey, Announcement
from replicator.protocol.ids import KeyText
from replicator.rules.trust import PinnedKey, current_among, states_at

DAY_MS: Final = 86_400_000
KNOWN: Final = "known"
"""The reason that is none to worry about: it was taken before, or is older."""


def judge(
    said: Announcement,
    signers: Collection[KeyText],
    pins: Sequence[PinnedKey],
    serial: int,
    now: int,
    limits: Limits,
) -> tuple[AnnouncedKey, ...] | str:
    """Return what the keys of a node are after its announcement, or why it does not count.

    Args:
        signers: whose signatures were verified.
        pins: present ones, the oldest first within a state.
        serial: of the last announcement that was taken; 0: none was.
        now: in ms.
    """
    if said.serial <= serial:
        return KNOWN
    present = states_at(pins, now)
    if not current_among(present).intersection(signers):
        return "no key that is current here signed it"
    if any(entry.state == "current" and entry.key not in signers for entry in said.keys):
        return "a key that it calls current did not sign it"
    latest = now + int(limits.key_overlap_seconds_max * 1000) + DAY_MS
    if any(entry.until is not None and entry.until > latest for entry in said.keys):
        return "a key of it would last longer than an overlap may"
    revoked = {key for key, state in present.items() if state == "revoked"}
    announced = [
        AnnouncedKey(entry.key, "revoked") if entry.key in revoked else entry for entry in said.keys
    ]
    if not current_among(states_at(announced, now)):
        return "no key would be current"
    listed = {entry.key for entry in said.keys}
    rest = [
        AnnouncedKey(pin.key, "revoked" if pin.state == "revoked" else "retired")
        for pin in pins
        if pin.key not in listed
    ]
    return (*announced, *_newest(rest, limits.pins_per_node_max - len(announced)))


def _newest(rest: Sequence[AnnouncedKey], room: int) -> list[AnnouncedKey]:
    """Return as many of them as there is room for: revoked ones before retired, newer before."""
    newest_first = list(rest)[::-1]
    newest_first.sort(key=lambda entry: entry.state != "revoked")
    return newest_first[: max(0, room)]
