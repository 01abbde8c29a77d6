"""The public halves of pool keys, ``pool-N.pub`` beside ``pool-N.pem``: one line with the key.

A process that signs for no pool reads them in place of the private ones. Whoever could write them
could make the node accept a pool, so they are as private as the keys.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

from replicator.adapters.private_files import read_private, replace_private
from replicator.errors import ConfigurationError, Malformed
from replicator.protocol.ids import KeyText, parse_key
from replicator.protocol.signing import PrivateKey

_BYTES_MAX: Final = 256
"""A key has 51."""


def path_of(private: Path) -> Path:
    """Return where the public half of a private key file stands."""
    return private.with_suffix(".pub")


def write(private: Path, key: PrivateKey) -> None:
    """Write the public half of a key beside its file."""
    replace_private(path_of(private), _text(key))


def complete(private: Path, key: PrivateKey) -> None:
    """Write the public half of a key where it is missing.

    Raises:
        ConfigurationError: there is one, of another key.
    """
    path = path_of(private)
    if not path.exists():
        with suppress(OSError):  # keys from a read-only mount: who needs it will say so
            write(private, key)
    elif read_private(path, _BYTES_MAX) != _text(key):
        raise ConfigurationError(f"{path} is not the public half of {private}: remove it")


def read(path: Path) -> KeyText:
    """Return the key that a file holds.

    Raises:
        ConfigurationError: it holds none, or others could change it.
    """
    try:
        return parse_key(read_private(path, _BYTES_MAX).decode("ascii").removesuffix("\n"))
    except (Malformed, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} holds no public key") from error


def _text(key: PrivateKey) -> bytes:
    return f"{key.public}\n".encode("ascii")
