"""``python -m replicator.gateway``: the gateway of the node in ``REPLICATOR_HOME``.

`replicator serve` and `replicator up` start it so: a process of its own that holds nothing else.
With ``--no-pool-keys`` it reads no private pool key.
"""

import os
import sys
from pathlib import Path

from replicator.errors import ReplicatorError
from replicator.gateway.server import serve
from replicator.settings import load_settings


def main() -> None:
    """Serve until told to stop; a node that is not fit to serve ends with one line and 1."""
    try:
        settings = load_settings(Path(os.environ.get("REPLICATOR_HOME", ".")), os.environ)
        serve(settings, pool_private="--no-pool-keys" not in sys.argv[1:])
    except ReplicatorError as error:
        sys.exit(f"Error: {error}")


main()
