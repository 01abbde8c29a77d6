"""Taking in a pool's key: whether it may be one, whether there is room, and keeping it."""

from pathlib import Path

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.pool_changes import held_pools, replace_pool
from replicator.cli.key_rows import node_rows, owner_of, pool_rows
from replicator.cli.session import opened_node
from replicator.errors import ConfigurationError
from replicator.protocol.ids import KeyText
from replicator.protocol.signing import PrivateKey
from replicator.rules.key_life import check_signers
from replicator.settings import Settings


def require_pool_key(home: Path, settings: Settings, key: KeyText) -> None:
    """Refuse a node key, this node's or one that is pinned: its node would speak for a pool."""
    KeyFiles(settings.keys_folder).require_no_node_key(key, settings.passphrase)
    with opened_node(home) as node:
        pinned = node.store.pinned_under(key)
    if pinned:
        raise ConfigurationError(
            f"this is the node key of {pinned[0]}, not a pool key: nothing was changed"
        )


def is_taken(settings: Settings, key: KeyText, old: KeyText | None) -> bool:
    """Tell whether a pool's key is held, and in the place of the old one, where there is one."""
    files = KeyFiles(settings.keys_folder)
    if key not in held_pools(files, settings.passphrase):
        return False
    return old is None or files.records.heirs().get(old) == key


def take(settings: Settings, key: PrivateKey, old: KeyText | None) -> None:
    """Keep the key of a pool, in the place of the old one, where there is one."""
    files = KeyFiles(settings.keys_folder)
    if old is None:
        files.keep_pool_key(key, settings.passphrase)
    else:
        replace_pool(files, old, key, settings.passphrase)


def require_room(settings: Settings) -> None:
    """Refuse a pool that would leave too many keys to sign with, before the node does at start."""
    owner = owner_of(settings)
    signing = sum(1 for row in node_rows(owner) if row["state"] == "current")
    pools = sum(1 for row in pool_rows(owner) if row["state"] == "current")
    check_signers(signing, pools + 1, settings.limits)
