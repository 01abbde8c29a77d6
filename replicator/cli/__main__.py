"""Lets ``python -m replicator.cli`` be the command `replicator` (how `up` starts its children)."""

from replicator.cli.root import main

main()
