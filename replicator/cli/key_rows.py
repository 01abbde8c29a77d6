"""The keys of a node as rows, for people and programs; public halves and fingerprints only."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from replicator.adapters.clock import SystemClock
from replicator.adapters.key_changes import Owner
from replicator.adapters.keyfiles import KeyFiles
from replicator.cli.output import iso, table
from replicator.errors import ConfigurationError
from replicator.protocol.ids import KeyText
from replicator.protocol.signing import fingerprint
from replicator.rules import key_life
from replicator.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
Row = dict[str, Any]

_ORDER: Final = ("current", "retired", "revoked", "unused")
_PREFIX_CHARS_MIN: Final = 5
"""A group of a fingerprint: among the few keys of a node it is hardly ever another one's."""


def owner_of(settings: Settings) -> Owner:
    """Return whose keys the commands of a home show and change."""
    return Owner(KeyFiles(settings.keys_folder), settings.node_id, settings.passphrase)


def node_rows(owner: Owner) -> list[Row]:
    """Return the node keys, those that sign first; ``unused`` is one that was never announced."""
    standing = owner.standing()
    states: dict[KeyText, str] = dict(key_life.states(standing, SystemClock().now()))
    until = {entry.key: entry.until for entry in standing.keys}
    for file in owner.node_files():
        states.setdefault(file.key.public, "unused")
    return [
        {
            "kind": "node",
            "state": states[key],
            "until": until.get(key) if states[key] == "current" else None,
            "fingerprint": fingerprint(key),
            "key": key,
        }
        for key in sorted(states, key=lambda key: _ORDER.index(states[key]))
    ]


def pool_rows(owner: Owner) -> list[Row]:
    """Return the pools in the order they came, then replaced ones whose key is not here."""
    loaded = owner.files.load(owner.passphrase)
    held = [file.key.public for file in owner.files.list(owner.passphrase, roles=("pool",))]
    return [
        {
            "kind": "pool",
            "state": "retired" if key in loaded.heirs else "current",
            "heir": loaded.heirs.get(key),
            "fingerprint": fingerprint(key),
            "key": key,
        }
        for key in (*held, *(key for key in loaded.heirs if key not in held))
    ]


def show_rows(rows: Sequence[Row]) -> None:
    """Print keys as a table."""
    table(
        ("KIND", "STATE", "FINGERPRINT", "KEY"),
        ((row["kind"], _state(row), row["fingerprint"], row["key"]) for row in rows),
    )


def _state(row: Row) -> str:
    if row.get("until") is not None:
        return f"{row['state']} until {iso(row['until'])}"
    if row.get("heir") is not None:
        return f"{row['state']} for {fingerprint(row['heir'])[:11]}"
    return str(row["state"])


def key_argument(command: F) -> F:
    """Give a command one KEY, which may be typed as the groups of a fingerprint, unquoted."""
    argument = click.argument(
        "key", nargs=-1, required=True, metavar="KEY", callback=lambda _, __, words: " ".join(words)
    )
    return argument(command)


def fitting(rows: Sequence[Row], key: str) -> Row:
    """Return the one row that ``key`` names: a public key or the beginning of a fingerprint.

    Raises:
        ConfigurationError: none fits, or several do, or so short a beginning may mean any.
    """
    if len("".join(key.split())) < _PREFIX_CHARS_MIN:
        raise ConfigurationError(
            f"{key!r} is too short: give the public key, or at least {_PREFIX_CHARS_MIN} digits "
            "of its fingerprint"
        )
    found = [row for row in rows if row["key"] == key or _begins(row["fingerprint"], key)]
    if len(found) != 1:
        raise ConfigurationError(f"{len(found)} of these keys fit {key}; see: replicator keys list")
    return found[0]


def _begins(shown: str, key: str) -> bool:
    """Tell whether a fingerprint begins with digits, however these are grouped."""
    return "".join(shown.split()).startswith("".join(key.split()))
