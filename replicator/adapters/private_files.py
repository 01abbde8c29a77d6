"""Files that only their owner may read, in a directory of mode 0700.

A file is complete from the moment it has its name: it is written under another one first. What
others could read or replace (group or world permissions, a symbolic link, another owner) is
refused, never repaired silently.
"""

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from replicator.errors import ConfigurationError

_LEFT_SECONDS: Final = 60.0
"""A file that is being written has its name long before."""


def check_directory(directory: Path) -> None:
    """Require a directory that nobody else may use.

    Raises:
        ConfigurationError: it is none, or others may look into it.
        OSError: it is not there.
    """
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{directory} is no directory (or a symbolic link)")
    _check_private(directory, status, "700")


def read_private(path: Path, bytes_max: int) -> bytes:
    """Return what is in a file that nobody else may use.

    Raises:
        ConfigurationError: it cannot be read, others may use it, or it has more bytes.
    """
    try:
        # O_NONBLOCK: a FIFO of that name must not make us wait
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read (symbolic links are refused)") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{path} is no regular file")
        _check_private(path, status, "600")
        if status.st_size > bytes_max:
            raise ConfigurationError(f"{path} is too large for what it should hold")
        return os.read(descriptor, bytes_max)
    finally:
        os.close(descriptor)


@contextmanager
def written_aside(directory: Path, data: bytes) -> Iterator[Path]:
    """Write a file under a temporary name, to be linked or renamed; what is left of it goes."""
    temporary = directory / f".{secrets.token_hex(8)}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(directory)


def replace_private(path: Path, data: bytes, *, keep_time: bool = False) -> None:
    """Give ``path`` this content at once: a reader finds the old one or the new one.

    Args:
        path: need not be there.
        data: the whole content.
        keep_time: the file goes on saying when it was changed before: what it means is the same.
    """
    with written_aside(path.parent, data) as temporary:
        if keep_time:
            before = path.stat()
            os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
        temporary.replace(path)


def remove_leftovers(directory: Path) -> None:
    """Remove what killed processes left under temporary names: keys under an older passphrase."""
    for path in directory.glob(".*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _LEFT_SECONDS:
                path.unlink()


def remove(path: Path) -> None:
    """Remove a file for good; one that is not there is gone already."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory outlive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Hold off others that would change what this one reads first and writes then."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_private(path: Path, status: os.stat_result, mode: str) -> None:
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to another user: run as its owner")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(f"others may use {path}: run `chmod {mode} {path}`")
