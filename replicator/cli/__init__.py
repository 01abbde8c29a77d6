"""The command line `replicator`: thin commands over the use cases, one module per group of verbs.

`main` is the entry point. Commands parse, call and print; they hold no rule of the protocol.
"""

from replicator.cli.root import main

__all__ = ["main"]
