"""The private keys of a node as files: PKCS#8 PEM, mode 0600, in a directory of mode 0700.

Names are ``node-N.pem`` and ``pool-N.pem``, numbered from 1 in the order they came; no file is
overwritten but to change its passphrase. ``pool-N.pub`` holds the public half of a pool key, for
processes that get no private ones. Which node keys are current says `key_records`; before there is
an announcement it is the one with the highest number. What others could use or replace is refused
(`private_files`). Keys and passphrases are never logged and stand in no error message.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from replicator.adapters import public_halves
from replicator.adapters.key_records import KeyRecords
from replicator.adapters.private_files import (
    check_directory,
    read_private,
    remove,
    written_aside,
)
from replicator.errors import ConfigurationError
from replicator.protocol.announcement import Announced
from replicator.protocol.envelope import Role
from replicator.protocol.ids import KeyText
from replicator.protocol.signing import PrivateKey
from replicator.rules.key_life import heirs_of

_NAME = re.compile(r"(node|pool)-([1-9][0-9]{0,5})\.(pem|pub)")
_ROLES: Final[tuple[Role, ...]] = ("node", "pool")
_PEM_BYTES_MAX: Final = 16 * 1024
"""An encrypted Ed25519 key has about 300 bytes."""
_TRIES: Final = 1000
"""Numbers tried for a new file while other processes take numbers too."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a node.

    Args:
        node: its node keys that are not revoked, those that sign first, newest first.
        pools: the keys of the pools it is a member of, in the order they came; empty where they
            were asked for without their private halves.
        announced: what it says of its node keys; None: the first signs, the others verify.
        heirs: pools that were replaced, with the pool that stands for them.
        public_pools: the pools, where only their public halves were asked for.
    """

    node: tuple[PrivateKey, ...]
    pools: tuple[PrivateKey, ...]
    announced: Announced | None = None
    heirs: dict[KeyText, KeyText] = field(default_factory=dict)
    public_pools: tuple[KeyText, ...] = ()


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
        self.directory = directory
        self.records = KeyRecords(directory)

    def load(self, passphrase: bytes | None = None, *, pool_private: bool = True) -> Keys:
        """Read all keys that count.

        Args:
            passphrase: what protects the files, or None where they are not encrypted.
            pool_private: False reads public halves of pool keys only; none of their private
                files need be there.

        Raises:
            ConfigurationError: there is no node key, a current one is missing, or a file is not
                as `list` requires.
        """
        found = self.list(passphrase, roles=_ROLES if pool_private else ("node",))
        announced = self.records.announced() if found else None
        node = _standing([file.key for file in reversed(found) if file.role == "node"], announced)
        if not node:
            raise ConfigurationError(f"{self.directory} has no node key: run `replicator init`")
        pools = [file.key for file in found if file.role == "pool"]
        public = [key.public for key in pools] if pool_private else self._public_pools()
        heirs = heirs_of(self.records.heirs(), public)
        return Keys(
            node,
            tuple(key for key in pools if key.public not in heirs),
            announced,
            heirs,
            () if pool_private else tuple(key for key in public if key not in heirs),
        )

    def list(
        self, passphrase: bytes | None = None, *, roles: tuple[Role, ...] = _ROLES
    ) -> tuple[KeyFile, ...]:
        """Return every key with its file, node keys first, by number; empty without a directory.

        Public halves of pool keys that are missing beside them are written.

        Raises:
            ConfigurationError: somebody else could read or replace a key, or a file holds none
                that the passphrase opens; the message names the file and what to do.
        """
        if not os.path.lexists(self.directory):
            return ()
        found = tuple(self._read(role, path, passphrase) for role, path in self.paths(roles))
        for file in found:
            if file.role == "pool":
                public_halves.complete(file.path, file.key)
        return found

    def paths(self, roles: tuple[Role, ...] = _ROLES) -> tuple[tuple[Role, Path], ...]:
        """Return the files of private keys, by role and number, unread."""
        try:
            check_directory(self.directory)
            return tuple(
                (role, self.directory / f"{role}-{number}.pem")
                for role in roles
                for number in sorted(self._numbers(role))
            )
        except OSError as error:
            raise ConfigurationError(f"cannot look into {self.directory}: {error}") from error

    def read_pem(self, path: Path) -> bytes:
        """Return a private key file as it is."""
        return read_private(path, _PEM_BYTES_MAX)

    def create_node_key(self, passphrase: bytes | None = None) -> PrivateKey:
        """Make a node key; before there is an announcement it is from now on the current one."""
        return self._store("node", PrivateKey.generate(), passphrase)

    def keep_node_key(self, key: PrivateKey, passphrase: bytes | None = None) -> None:
        """Keep a node key that was made elsewhere, as the newest one."""
        self._store("node", key, passphrase)

    def create_pool_key(self, passphrase: bytes | None = None) -> PrivateKey:
        """Make the key of a new pool and return it; its members import it."""
        return self._store("pool", PrivateKey.generate(), passphrase)

    def keep_pool_key(self, key: PrivateKey, passphrase: bytes | None = None) -> PrivateKey:
        """Keep the key of a pool; one that is held already stays as it is.

        Raises:
            ConfigurationError: it is a node key of this node.
        """
        self.require_no_node_key(key.public, passphrase)
        for file in self.list(passphrase, roles=("pool",)):
            if file.key.public == key.public:
                return file.key
        return self._store("pool", key, passphrase)

    def require_no_node_key(self, key: KeyText, passphrase: bytes | None = None) -> None:
        """Refuse a node key of this node by a `ConfigurationError`."""
        for file in self.list(passphrase, roles=("node",)):
            if file.key.public == key:
                raise ConfigurationError(f"this is the node key in {file.path}, not a pool key")

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
        return self.keep_pool_key(PrivateKey.from_pem(pem, pem_passphrase), passphrase)

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
        raise ConfigurationError(f"{self.directory} has no key of the pool {pool}")

    def remove_pool_key(self, pool: KeyText, passphrase: bytes | None = None) -> None:
        """Remove the key of a pool, in every file that holds it; none is no error.

        The public half goes first: where only that is read, a half removed key must not count.
        """
        for file in self.list(passphrase):
            if file.role == "pool" and file.key.public == pool:
                remove(public_halves.path_of(file.path))
                remove(file.path)

    def _read(self, role: Role, path: Path, passphrase: bytes | None) -> KeyFile:
        pem = self.read_pem(path)
        try:
            key = PrivateKey.from_pem(pem, passphrase)
        except ConfigurationError as error:
            hint = "(the passphrase of key files is the setting key_passphrase)"
            raise ConfigurationError(f"{path}: {error} {hint}") from error
        return KeyFile(path, role, int(path.stem.partition("-")[2]), key)

    def _store(self, role: Role, key: PrivateKey, passphrase: bytes | None) -> PrivateKey:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_directory(self.directory)
            with written_aside(self.directory, key.to_pem(passphrase)) as temporary:
                path = self._name(role, temporary)
            if role == "pool":
                public_halves.write(path, key)
        except OSError as error:
            raise ConfigurationError(f"cannot write keys to {self.directory}: {error}") from error
        return key

    def _name(self, role: Role, temporary: Path) -> Path:
        """Give a file the next number; where another process takes that first, the one after."""
        first = max(self._numbers(role), default=0) + 1
        for number in range(first, first + _TRIES):
            path = self.directory / f"{role}-{number}.pem"
            try:
                os.link(temporary, path)
            except FileExistsError:
                continue
            return path
        raise ConfigurationError(f"{self.directory} takes no further {role} key")

    def _numbers(self, role: Role, kind: str = "pem") -> Iterator[int]:
        for path in self.directory.iterdir():
            found = _NAME.fullmatch(path.name)
            if found is not None and (found[1], found[3]) == (role, kind):
                yield int(found[2])

    def _public_pools(self) -> Sequence[KeyText]:
        numbers = sorted(self._numbers("pool", "pub"))
        if missing := set(self._numbers("pool")).difference(numbers):
            raise ConfigurationError(
                f"{self.directory}/pool-{min(missing)}.pub is missing: `replicator keys list` "
                "writes it, where the private key can be read"
            )
        return [public_halves.read(self.directory / f"pool-{number}.pub") for number in numbers]


def _standing(keys: Sequence[PrivateKey], announced: Announced | None) -> tuple[PrivateKey, ...]:
    """Return the keys that sign or verify, those that sign first; ``keys`` are newest first."""
    if announced is None:
        return tuple(keys)
    held = {key.public: key for key in keys}
    states = {entry.key: entry.state for entry in announced.content.keys}
    current = [key for key, state in states.items() if state == "current"]
    if missing := [key for key in current if key not in held]:
        raise ConfigurationError(
            f"the private key of {missing[0]} is missing, which the announcement calls current"
        )
    retired = [key for key, state in states.items() if state == "retired" and key in held]
    return tuple(held[key] for key in (*current, *retired))
