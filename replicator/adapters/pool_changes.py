"""Changes of pool keys: a key takes another's place, and a pool is left.

What took whose place is written before the new key is kept: a successor whose key is not here
counts for nothing, so a change that was cut off is made again. Leaving a pool leaves those that it
took the place of too.
"""

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.private_files import alone_in
from replicator.errors import ConfigurationError
from replicator.protocol.ids import KeyText
from replicator.protocol.signing import PrivateKey
from replicator.rules.key_life import heirs_of


def held_pools(files: KeyFiles, passphrase: bytes | None) -> list[KeyText]:
    """Return the pools whose key is here, in the order they came."""
    return [file.key.public for file in files.list(passphrase, roles=("pool",))]


def replace_pool(
    files: KeyFiles, old: KeyText, heir: PrivateKey, passphrase: bytes | None = None
) -> None:
    """Let a pool's key take the place of ``old``, which signs nothing more; safe to repeat.

    Raises:
        ConfigurationError: another pool took its place already, the two would replace each other,
            or ``heir`` is a node key.
    """
    try:
        with alone_in(files.directory):
            held = held_pools(files, passphrase)
            taken = files.records.heirs()
            present = heirs_of(taken, held).get(old)
            if present is not None and taken[old] != heir.public:
                raise ConfigurationError(f"{old} was replaced already, by {taken[old]}")
            if old == heir.public:
                raise ConfigurationError("a pool cannot take its own place")
            taken[old] = heir.public
            heirs_of(taken, [*held, heir.public])  # refuses a circle
            files.require_no_node_key(heir.public, passphrase)
            files.records.keep_heirs(taken)
            files.keep_pool_key(heir, passphrase)
    except OSError as error:
        raise _unwritten(files, error) from error


def leave_pool(
    files: KeyFiles, pool: KeyText, passphrase: bytes | None = None
) -> tuple[KeyText, ...]:
    """Remove the private keys of a pool and of those it took the place of; posts stay.

    Returns:
        The pools whose keys were removed; empty where there was none to remove.
    """
    try:
        with alone_in(files.directory):
            taken = files.records.heirs()
            before = [old for old in taken if pool in _successors(taken, old)]
            held = held_pools(files, passphrase)
            gone = [key for key in (*before, pool) if key in held]
            for key in gone:
                files.remove_pool_key(key, passphrase)
            left = {old: new for old, new in taken.items() if old not in {*before, pool}}
            if gone or left != taken:  # its time tells which processes do not know of it
                files.records.keep_heirs(left)
    except OSError as error:
        raise _unwritten(files, error) from error
    return tuple(gone)


def _successors(taken: dict[KeyText, KeyText], old: KeyText) -> list[KeyText]:
    found: list[KeyText] = []
    while old in taken and taken[old] not in found:
        old = taken[old]
        found.append(old)
    return found


def _unwritten(files: KeyFiles, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"cannot write keys to {files.directory}: {error}")
