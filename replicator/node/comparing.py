"""Comparing two nodes' sets of posts within a pool by reconcile: both sides of it."""

from replicator.errors import NotSupported
from replicator.node.context import Node
from replicator.protocol.messages import Answer, Reconcile


def answer(node: Node, request: Reconcile) -> tuple[Answer, int]:
    """Answer one Negentropy message; returns the answer and how many items it was about."""
    raise NotSupported("reconcile")
