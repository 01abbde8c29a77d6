"""When a connection reads on, and when it ends because its client does not take what is sent.

A client that takes it slowly but steadily is served to the end. What counts is what its machine has
acknowledged: the kernel's queue may hold more than one whole answer, so that what waits in this
process can stand still for long while the client reads.
"""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable, Sized
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl

_LOOK_SECONDS: Final = 1.0


class Flow(FlowControl):
    """Uvicorn's flow control; nothing more is read while requests wait for an earlier answer."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, unless requests wait."""
        if not len(self._waiting):
            super().resume_reading()


class Unread:
    """Watches what a client has not taken yet.

    Args:
        transport: the client's connection.
        seconds: in which some of it must have been taken, or the connection ends.
        bytes_per_second: how much that is, on average over these seconds.
        on_look: called when `kept` has changed, once a second at most.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        seconds: float,
        bytes_per_second: int,
        on_look: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._seconds = seconds
        self._step = max(1, int(seconds * bytes_per_second))
        self._on_look = on_look
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._mark = (0, 0.0)
        self.kept = 0
        """Bytes that this process keeps for a client that is slow; 0 while none is watched."""

    def watch(self) -> None:
        """Look at it from now on; does nothing where that is so already."""
        if self._timer is None:
            self._mark = (unread_bytes(self._transport), self._loop.time())
            self._next()

    def stop(self) -> None:
        """Look at it no more."""
        self.kept = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        pause = min(_LOOK_SECONDS, self._seconds)
        self._timer = self._loop.call_later(pause, self._look)

    def _look(self) -> None:
        left, now = unread_bytes(self._transport), self._loop.time()
        most, since = self._mark
        if left <= most - self._step:
            self._mark = (left, now)
        elif now - since >= self._seconds:
            self.stop()
            self._transport.abort()
            return
        self._next()
        self.kept = self._transport.get_write_buffer_size()
        self._on_look()


def unread_bytes(transport: asyncio.Transport) -> int:
    """Return what was written and not acknowledged yet: here, and in the kernel's queue."""
    here = transport.get_write_buffer_size()
    try:
        number = transport.get_extra_info("socket").fileno()
        queued: int = struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))[0]
    except (OSError, ValueError):  # it is closed
        return here
    return here + queued
