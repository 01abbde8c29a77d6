"""Opens what a command works with and closes it again, whatever happens in between."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from replicator import bootstrap
from replicator.cli.home import settings_of
from replicator.node import operating
from replicator.node.context import Node
from replicator.node.ports import Peer
from replicator.protocol.ids import parse_node_id

NO_SERVER: Final = "redis://127.0.0.1:1/0"
"""A port nobody listens on: before the first `up` the work state is simply away."""


def log_to_stderr() -> None:
    """Keep standard output for results; a command says only what went wrong."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@contextmanager
def opened_node(home: Path) -> Iterator[Node]:
    """Give the node of a home, with its keys and database; its work state need not be there.

    Publishing and reading need the database alone: what is published before the first `up` is
    announced after it.
    """
    log_to_stderr()
    settings = settings_of(home)
    if settings.work_url is None:
        settings = replace(settings, work_url=NO_SERVER)
    node = bootstrap.open_node(settings)
    try:
        yield node
    finally:
        bootstrap.close_node(node)


def known_peer(node: Node, name: str) -> Peer:
    """Return a peer by its id.

    Raises:
        Malformed: ``name`` is no node id.
        ConfigurationError: no such peer.
    """
    return operating.known_peer(node, parse_node_id(name))
