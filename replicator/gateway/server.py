"""Runs the gateway process: settings in, two listening sockets, one event loop.

`serve` blocks until SIGTERM or SIGINT. The ready line on standard output is for supervisors and
tests; it tells the bound ports. From there on connections are accepted.
"""

import asyncio
import json
import resource
import secrets
import signal
import socket
import sys
from typing import Final

import uvloop

from replicator.adapters.redis.replies import ReplyReader
from replicator.bootstrap import close_node, open_node
from replicator.errors import ConfigurationError
from replicator.gateway import logs
from replicator.gateway.local_guard import TOKEN_FILE, Guard, load_token
from replicator.gateway.running import Gateway
from replicator.limits import Limits
from replicator.node.context import Node
from replicator.settings import Settings

_BACKLOG: Final = 1024
_SPARE_FILES: Final = 200
"""Files a process has open besides connections."""


def serve(settings: Settings, *, pool_private: bool = True) -> None:
    """Run the gateway of a node until it is told to stop.

    Args:
        settings: the node's.
        pool_private: False: it reads no private pool key. It then signs refusals with the node
            key alone, names no pool at ``GET /v1/node`` and publishes into none.

    Raises:
        ConfigurationError: a setting, key file or token does not fit, or an address is taken.
    """
    logs.configure(settings.log_level)
    guard = Guard(load_token(settings.home / TOKEN_FILE), _host_of(settings.local_listen))
    with _bind(settings.gateway_listen) as sync_socket, _bind(settings.local_listen) as local:
        _raise_file_limit(settings.limits)
        node = open_node(settings, pool_private=pool_private)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run(settings, node, guard, (sync_socket, local)))
        finally:
            close_node(node)


async def _run(
    settings: Settings, node: Node, guard: Guard, sockets: tuple[socket.socket, socket.socket]
) -> None:
    # a name of its own for each start: replies to an earlier process are nobody's any more
    name = secrets.token_hex(8)
    reader = ReplyReader(settings.work, settings.prefix, name)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    gateway = Gateway(node, reader, guard, name)
    _announce_ready(*sockets)
    await gateway.run(*sockets, stopping)


def _announce_ready(sync_socket: socket.socket, local_socket: socket.socket) -> None:
    """Write the ready line: the sockets accept connections from here on."""
    line = {
        "event": "gateway.ready",
        "sync_port": sync_socket.getsockname()[1],
        "local_port": local_socket.getsockname()[1],
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _host_of(listen: str) -> str:
    return listen.rpartition(":")[0].strip("[]")


def _bind(listen: str) -> socket.socket:
    """Return a listening socket for ``host:port`` (port 0: any free one)."""
    host, port = _host_of(listen), listen.rpartition(":")[2]
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigurationError(f"{listen!r} is not host:port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {listen}: {error.strerror}") from error


def _raise_file_limit(limits: Limits) -> None:
    """Let both listeners have all their connections: the usual 1,024 files do not suffice."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * limits.connections_max + _SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
