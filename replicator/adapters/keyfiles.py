"""The private keys of a node as files: PKCS#8 PEM, mode 0600, in a directory of mode 0700.

Names are ``node-N.pem`` and ``pool-N.pem``, numbered from 1 in the order they came; the node key
with the highest number is the current one. A file is complete from the moment it has its name,
and no file is ever overwritten. What others could read or replace (group or world permissions, a
symbolic link, another owner) is refused, never repaired silently. Keys and passphrases are never
logged and stand in no error message.
"""

import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from replicator.errors import ConfigurationError
from replicator.protocol.envelope import Role
from replicator.protocol.ids import KeyText
from replicator.protocol.signing import PrivateKey

_NAME = re.compile(r"(node|pool)-([1-9][0-9]{0,5})\.pem")
_ROLES: Final[tuple[Role, ...]] = ("node", "pool")
_PEM_BYTES_MAX: Final = 16 * 1024
"""An encrypted Ed25519 key has about 300 bytes."""
_TRIES: Final = 1000
"""Numbers tried for a new file while other processes take numbers too."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a node.

    Args:
        node: its node keys, the current one first, older ones after it.
        pools: the keys of the pools it is a member of, in the order they came.
    """

    node: tuple[PrivateKey, ...]
    pools: tuple[PrivateKey, ...]


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key and the file it stands in."""

    path: Path
    role: Role
    number: int
    key: PrivateKey


class KeyFiles:
    """A directory of key files.

    Args:
        directory: made, with mode 0700, when the first key is.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, passphrase: bytes | None = None) -> Keys:
        """Read all keys.

        Args:
            passphrase: what protects the files, or None where they are not encrypted.

        Raises:
            ConfigurationError: there is no node key, or a file is not as `list` requires.
        """
        found = self.list(passphrase)
        node = tuple(file.key for file in reversed(found) if file.role == "node")
        if not node:
            raise ConfigurationError(f"{self._directory} has no node key: run `replicator init`")
        return Keys(node, tuple(file.key for file in found if file.role == "pool"))

    def list(self, passphrase: bytes | None = None) -> tuple[KeyFile, ...]:
        """Return every key with its file, node keys first, by number; empty without a directory.

        Raises:
            ConfigurationError: somebody else could read or replace a key, or a file holds none
                that the passphrase opens; the message names the file and what to do.
        """
        if not os.path.lexists(self._directory):
            return ()
        try:
            self._check_directory()
            found = [(role, number) for role in _ROLES for number in sorted(self._numbers(role))]
        except OSError as error:
            raise ConfigurationError(f"cannot look into {self._directory}: {error}") from error
        return tuple(self._read(role, number, passphrase) for role, number in found)

    def create_node_key(self, passphrase: bytes | None = None) -> PrivateKey:
        """Make a node key, from now on the current one, and return it."""
        return self._store("node", PrivateKey.generate(), passphrase)

    def create_pool_key(self, passphrase: bytes | None = None) -> PrivateKey:
        """Make the key of a new pool and return it; its members import it."""
        return self._store("pool", PrivateKey.generate(), passphrase)

    def import_pool_key(
        self, pem: bytes, passphrase: bytes | None = None, *, pem_passphrase: bytes | None = None
    ) -> PrivateKey:
        """Keep the key of a pool that others made; one that is held already stays as it is.

        Args:
            pem: what `export_pool_key` of a member returned.
            passphrase: protects the files here.
            pem_passphrase: protects ``pem``.

        Raises:
            ConfigurationError: ``pem`` is no Ed25519 key, or it is a node key of this node.
        """
        key = PrivateKey.from_pem(pem, pem_passphrase)
        for file in self.list(passphrase):
            if file.key.public == key.public and file.role == "node":
                raise ConfigurationError(f"this is the node key in {file.path}, not a pool key")
            if file.key.public == key.public:
                return file.key
        return self._store("pool", key, passphrase)

    def export_pool_key(
        self,
        pool: KeyText,
        passphrase: bytes | None = None,
        *,
        pem_passphrase: bytes | None = None,
    ) -> bytes:
        """Return a pool's private key as PEM, for a new member; whoever has it is one.

        Raises:
            ConfigurationError: this node does not hold the key of ``pool``.
        """
        for file in self.list(passphrase):
            if file.role == "pool" and file.key.public == pool:
                return file.key.to_pem(pem_passphrase)
        raise ConfigurationError(f"{self._directory} has no key of the pool {pool}")

    def _check_directory(self) -> None:
        status = self._directory.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise ConfigurationError(f"{self._directory} is no directory (or a symbolic link)")
        _check_private(self._directory, status, "700")

    def _read(self, role: Role, number: int, passphrase: bytes | None) -> KeyFile:
        path = self._path(role, number)
        pem = _read_private(path)
        try:
            return KeyFile(path, role, number, PrivateKey.from_pem(pem, passphrase))
        except ConfigurationError as error:
            hint = "(the passphrase of key files is the setting key_passphrase)"
            raise ConfigurationError(f"{path}: {error} {hint}") from error

    def _store(self, role: Role, key: PrivateKey, passphrase: bytes | None) -> PrivateKey:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_directory()
            self._write(role, key.to_pem(passphrase))
        except OSError as error:
            raise ConfigurationError(f"cannot write keys to {self._directory}: {error}") from error
        return key

    def _write(self, role: Role, pem: bytes) -> None:
        """Write under a temporary name, then link: a name is complete, and taken once."""
        temporary = self._directory / f".{role}-{secrets.token_hex(8)}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(descriptor)
            self._name(role, temporary)
        finally:
            temporary.unlink()
        _sync_directory(self._directory)

    def _name(self, role: Role, temporary: Path) -> None:
        """Give a file the next number; where another process takes that first, the one after."""
        first = max(self._numbers(role), default=0) + 1
        for number in range(first, first + _TRIES):
            try:
                os.link(temporary, self._path(role, number))
            except FileExistsError:
                continue
            return
        raise ConfigurationError(f"{self._directory} takes no further {role} key")

    def _numbers(self, role: Role) -> Iterator[int]:
        for path in self._directory.iterdir():
            found = _NAME.fullmatch(path.name)
            if found is not None and found[1] == role:
                yield int(found[2])

    def _path(self, role: Role, number: int) -> Path:
        return self._directory / f"{role}-{number}.pem"


def _read_private(path: Path) -> bytes:
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
        if status.st_size > _PEM_BYTES_MAX:
            raise ConfigurationError(f"{path} is too large for a key")
        return os.read(descriptor, _PEM_BYTES_MAX)
    finally:
        os.close(descriptor)


def _check_private(path: Path, status: os.stat_result, mode: str) -> None:
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to another user: run as its owner")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(f"others may use {path}: run `chmod {mode} {path}`")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
