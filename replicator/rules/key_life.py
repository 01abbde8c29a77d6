"""What a node's own key announcement becomes when a key is added, or taken back; pure.

An announcement lists all node keys, newest first. A rotation adds one that is current at once, and
gives the ones before it the end of the overlap: until then all of them sign, so that peers that
have not heard of the new key go on believing us. A key whose end has come is called retired in the
next announcement. One key at least is current and has no end.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.protocol.announcement import AnnouncedKey, Announcement, current_keys
from replicator.protocol.ids import KeyText, NodeId
from replicator.rules.trust import KeyState

FIRST_SERIAL: Final = 0
"""Of the announcement that only says how things stand, before the first rotation."""


def founding(node: NodeId, keys: Sequence[KeyText]) -> Announcement:
    """Return how things stand without an announcement: the newest key signs, older ones verify.

    Args:
        keys: newest first; at least one.
    """
    first, *others = keys
    entries = [AnnouncedKey(first, "current"), *(AnnouncedKey(key, "retired") for key in others)]
    return Announcement(node, FIRST_SERIAL, tuple(entries))


def settled(announcement: Announcement, now: int) -> Announcement:
    """Return it with the keys whose end has come as retired; the serial stays."""
    current = current_keys(announcement.keys, now)
    return msgspec.structs.replace(
        announcement,
        keys=tuple(
            AnnouncedKey(entry.key, "retired")
            if entry.state == "current" and entry.key not in current
            else entry
            for entry in announcement.keys
        ),
    )


def is_rotating(announcement: Announcement, now: int) -> bool:
    """Tell whether a current key has an end that has not come."""
    current = current_keys(announcement.keys, now)
    return any(entry.key in current and entry.until is not None for entry in announcement.keys)


def rotated(
    announcement: Announcement, fresh: KeyText, now: int, overlap_ms: int, keys_max: int
) -> Announcement:
    """Return the next announcement, in which ``fresh`` is current and the others get an end.

    Where more than ``keys_max`` keys would be listed the oldest revoked ones are left out, then the
    oldest retired ones: what those signed counts only where they are remembered.
    """
    kept = settled(announcement, now).keys
    until = now + overlap_ms
    ending = [
        msgspec.structs.replace(entry, until=min(until, entry.until or until))
        if entry.state == "current"
        else entry
        for entry in kept
    ]
    if overlap_ms == 0:
        ending = [
            AnnouncedKey(entry.key, "retired") if entry.state == "current" else entry
            for entry in ending
        ]
    entries = _fitting([AnnouncedKey(fresh, "current"), *ending], keys_max)
    return Announcement(announcement.id, announcement.serial + 1, tuple(entries))


def revoked(announcement: Announcement, key: KeyText, now: int) -> Announcement:
    """Return the next announcement, in which ``key`` is revoked.

    Raises:
        ConfigurationError: it is not listed, or no current key without an end would be left.
    """
    kept = settled(announcement, now).keys
    if all(entry.key != key for entry in kept):
        raise ConfigurationError(f"{key} is no node key that this node announces")
    lasting = [entry for entry in kept if entry.state == "current" and entry.until is None]
    if [entry.key for entry in lasting] == [key]:
        raise ConfigurationError(
            "this is the last key that goes on signing: make the next one first, "
            "with `replicator keys rotate` (and --again, where a rotation is under way)"
        )
    entries = tuple(
        AnnouncedKey(entry.key, "revoked") if entry.key == key else entry for entry in kept
    )
    return Announcement(announcement.id, announcement.serial + 1, entries)


def states(announcement: Announcement, now: int) -> Mapping[KeyText, KeyState]:
    """Return what each listed key is at ``now`` (ms)."""
    return {entry.key: entry.state for entry in settled(announcement, now).keys}


def heirs_of(taken: Mapping[KeyText, KeyText], held: Collection[KeyText]) -> dict[KeyText, KeyText]:
    """Return each pool that was replaced with the held pool that stands for it now.

    Args:
        taken: pool → the one that took its place, as it was written down.
        held: pools whose key is here. A successor that is not (it was written down, and then its
            key was not made) takes no place.

    Raises:
        ConfigurationError: pools replaced each other in a circle.
    """
    found: dict[KeyText, KeyText] = {}
    for old in taken:
        seen, place = {old}, old
        while (following := taken.get(place)) is not None:
            if following in seen:
                raise ConfigurationError(f"the pools {old} and {following} replace each other")
            seen.add(following)
            place = following
            if place in held:
                found[old] = place
    return found


def check_signers(node_keys: int, pools: int, limits: Limits) -> None:
    """Require that so many keys can sign one message and one post.

    Raises:
        ConfigurationError: they cannot; says what to do.
    """
    most = min(limits.envelope_signatures_max, limits.post_signatures_max)
    if node_keys + pools > most:
        raise ConfigurationError(
            f"{node_keys} node keys that sign and {pools} pool keys are more than the {most} that "
            "sign a message: leave a pool, or wait for the end of a rotation"
        )


def _fitting(entries: list[AnnouncedKey], keys_max: int) -> list[AnnouncedKey]:
    for state in ("revoked", "retired"):
        while len(entries) > keys_max:
            old = [place for place, entry in enumerate(entries) if entry.state == state]
            if not old:
                break
            del entries[old[-1]]
    return entries
