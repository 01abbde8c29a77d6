"""A bug in a part of the gateway ends the process for its supervisor; it never lives on half."""

import asyncio
import socket

import pytest

from replicator.gateway.local_guard import Guard
from replicator.gateway.running import Gateway
from tests.support.gateway import NAME, TOKEN, make_node


class BrokenReplies:
    """A reader that fails at once."""

    async def run(self, on_reply) -> None:
        raise ZeroDivisionError("a bug")


def test_a_helper_that_fails_ends_the_gateway(tmp_path):
    node = make_node(tmp_path)

    async def main() -> None:
        gateway = Gateway(node, BrokenReplies(), Guard(TOKEN, "127.0.0.1"), NAME)
        with (
            socket.create_server(("127.0.0.1", 0)) as sync_socket,
            socket.create_server(("127.0.0.1", 0)) as local_socket,
        ):
            await gateway.run(sync_socket, local_socket, asyncio.Event())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(asyncio.wait_for(main(), 10))
    assert caught.group_contains(ZeroDivisionError)
    node.store.close()
