"""Sees which files of a folder are opened, by whichever process: inotify of the Linux kernel."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPENED = 0x20
_EVENT = struct.Struct("iIII")


class Opened:
    """The names of files that were opened so far."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._names: set[str] = set()

    def names(self) -> set[str]:
        """Return the names; the folder itself is not among them."""
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            data = b""
        while data:
            *_, length = _EVENT.unpack_from(data)
            end = _EVENT.size + length
            self._names.add(data[_EVENT.size : end].rstrip(b"\0").decode())
            data = data[end:]
        return self._names - {""}


@contextmanager
def opened(folder: Path) -> Iterator[Opened]:
    """Watch a folder for as long as the context lasts."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert descriptor >= 0
    try:
        assert libc.inotify_add_watch(descriptor, os.fsencode(folder), _OPENED) >= 0
        yield Opened(descriptor)
    finally:
        os.close(descriptor)
