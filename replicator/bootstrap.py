"""The one place where a node is wired from its settings.

Every process of a node calls `open_node` once and `close_node` at its end. Nothing connects
before it is used, so a process that starts before its database or Valkey does not fail.
"""

import os
import random
from contextlib import suppress

from replicator.adapters.background import ThreadBackground
from replicator.adapters.broker import KombuDoorbell
from replicator.adapters.clock import SystemClock
from replicator.adapters.http import HttpTransport
from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.redis.work import RedisWorkState
from replicator.adapters.sql.store import SqlStore
from replicator.errors import ConfigurationError
from replicator.node.context import Node
from replicator.node.identity import Identity
from replicator.rules.key_life import check_signers
from replicator.settings import Settings


def load_identity(settings: Settings, *, pool_private: bool = True) -> Identity:
    """Load the node's keys.

    Args:
        settings: the node's.
        pool_private: False is for a process that signs for no pool: it needs no private pool keys.

    Raises:
        ConfigurationError: a key file is missing, readable by others, or locked, the announcement
            is of another node, or there are more keys than a message or a post is signed with.
    """
    keys = KeyFiles(settings.keys_folder).load(settings.passphrase, pool_private=pool_private)
    identity = Identity(
        settings.node_id, keys.node, keys.pools, keys.announced, keys.heirs, keys.public_pools
    )
    if keys.announced is not None and keys.announced.content.id != settings.node_id:
        raise ConfigurationError(
            f"the keys in {settings.keys_folder} are announced for {keys.announced.content.id}"
        )
    check_signers(
        len(identity.signing_keys(SystemClock().now())), len(identity.pools), settings.limits
    )
    return identity


def open_node(settings: Settings, *, pool_private: bool = True) -> Node:
    """Wire a node of real parts.

    Args:
        pool_private: as of `load_identity`.

    Raises:
        ConfigurationError: settings or key files are not fit to run with.
    """
    limits = settings.limits
    identity = load_identity(settings, pool_private=pool_private)
    _remember(settings)
    return Node(
        identity=identity,
        limits=limits,
        policy=settings.policy,
        store=SqlStore(settings.database_url, limits, quota_bytes=settings.disk_bytes_max),
        work=RedisWorkState(settings.work, settings.prefix, limits),
        doorbell=KombuDoorbell(settings.broker, settings.node_id, limits),
        transport=HttpTransport(
            connect_seconds=limits.connect_seconds, allow_private=settings.allow_private
        ),
        clock=SystemClock(),
        random=random.SystemRandom(),
        background=ThreadBackground(limits.pages_ahead + settings.lanes_threads),
        address=settings.address,
        allow_private=settings.allow_private,
        keep=settings.keep,
        keep_days=settings.keep_days,
        quotas=settings.quotas,
    )


def _remember(settings: Settings) -> None:
    """Write down whose home it is, so that `load_settings` refuses another node id from now on."""
    # a home that cannot be written (keys from a read-only mount) cannot remember: no reason to stop
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        handle = os.open(settings.node_id_file, flags, 0o644)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{settings.node_id}\n")


def close_node(node: Node) -> None:
    """Close the node's connections and threads; safe to call twice."""
    for part in (node.background, node.transport, node.doorbell, node.work, node.store):
        close = getattr(part, "close", None)
        if close is not None:
            close()
