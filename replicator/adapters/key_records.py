"""What a node keeps beside its key files: its announcement, and which pool took another's place.

``announcement.json`` is the signed announcement as it stands in the node document, with the serial
that only grows. ``pools.json`` maps each pool that was replaced to its successor. Both are small,
of mode 0600, and replaced at once.
"""

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from replicator.adapters.private_files import read_private, replace_private
from replicator.errors import ConfigurationError, Malformed
from replicator.limits import Limits
from replicator.protocol import announcement
from replicator.protocol.announcement import Announced
from replicator.protocol.codec import Tree
from replicator.protocol.ids import KeyText, WireKey

_BYTES_MAX: Final = 64 * 1024
"""Sixteen announced keys have 6 kB, a replaced pool 0.1 kB."""


class _Pools(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    heirs: dict[WireKey, WireKey]


class KeyRecords:
    """The records in a directory of key files; neither need be there."""

    def __init__(self, directory: Path) -> None:
        self._announcement = directory / "announcement.json"
        self._pools = directory / "pools.json"

    def announced(self) -> Announced | None:
        """Return this node's announcement, or None before its first rotation.

        Raises:
            ConfigurationError: the file is not one that `keep_announced` wrote.
        """
        if not os.path.lexists(self._announcement):
            return None
        tree: Any = self._read(self._announcement, Any)
        try:
            content, _ = announcement.read_tree(tree, Limits())
        except Malformed as error:
            raise ConfigurationError(f"{self._announcement}: {error}") from error
        return Announced(content, tree)

    def keep_announced(self, tree: Tree) -> None:
        """Write down an announcement in place of the last one."""
        replace_private(self._announcement, msgspec.json.encode(tree, order="sorted"))

    def heirs(self) -> dict[KeyText, KeyText]:
        """Return pools that were replaced with what took their place, as it was written down.

        Raises:
            ConfigurationError: the file is not one that `keep_heirs` wrote.
        """
        if not os.path.lexists(self._pools):
            return {}
        return dict(self._read(self._pools, _Pools).heirs)

    def keep_heirs(self, heirs: dict[KeyText, KeyText]) -> None:
        """Write down which pool took another's place."""
        replace_private(self._pools, msgspec.json.encode(_Pools(heirs), order="sorted"))

    def _read(self, path: Path, kind: Any) -> Any:
        try:
            return msgspec.json.decode(read_private(path, _BYTES_MAX), type=kind)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"{path} is damaged: {error}") from error
