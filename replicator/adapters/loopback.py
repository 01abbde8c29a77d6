"""Finds free TCP ports on the loopback interface.

Ports come from below the kernel's ephemeral range: an outgoing connection of another program can
never take one while its owner is being restarted. What was given to one process of ours is given
to no other while that one lives: several nodes may be founded on one machine at a time, and each
binds its ports only seconds later. Any other program may still be quicker, so whoever binds a port
must be ready for a refusal.
"""

import socket
from random import Random
from typing import Final

from replicator.errors import ConfigurationError

LOOPBACK: Final = "127.0.0.1"
PORT_MIN: Final = 12_000
PORT_MAX: Final = 32_000
"""Linux gives outgoing connections ports from 32768 on."""
_TRIES: Final = 200


def is_free(port: int) -> bool:
    """Tell whether nobody listens on ``port`` of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of the last owner in TIME_WAIT does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _claim(port: int) -> bool:
    """Keep a port from other processes of ours until this one ends; False: it is another's.

    By a name among Linux's abstract sockets, which goes with the process however that ends.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0replicator:{LOOPBACK}:{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()  # open, with no object that would close it
    return True


def free_ports(count: int, random: Random) -> list[int]:
    """Return ``count`` different free ports, given to nobody else while this process lives.

    Raises:
        ConfigurationError: the machine has hardly any free port left.
    """
    found: list[int] = []
    for _ in range(_TRIES * count):
        port = random.randrange(PORT_MIN, PORT_MAX)
        if is_free(port) and _claim(port):
            found.append(port)
        if len(found) == count:
            return found
    raise ConfigurationError(f"no {count} free ports between {PORT_MIN} and {PORT_MAX}")
