"""Who may use the local API: holders of the token, speaking to this listener by its own name.

The token is the board application's only credential; it is compared in constant time and never
logged. The Host check stops a web page in a browser on this machine from reaching the API under a
name of its own (DNS rebinding).
"""

import hmac
import ipaddress
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from replicator.errors import ConfigurationError
from replicator.gateway.local_errors import ApiError

TOKEN_FILE: Final = "local-token"  # noqa: S105 - the name of the file, not a token
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_TOKEN_BYTES_MAX: Final = 1024


def load_token(path: Path) -> str:
    """Return the local API's token; make the file (mode 0600) where there is none.

    Raises:
        ConfigurationError: the file is a symbolic link, open to others, or holds no token.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
                raise ConfigurationError(f"{path} is open to others; run: chmod 600 {path}")
            raw = os.read(handle, _TOKEN_BYTES_MAX + 1).strip()
        finally:
            os.close(handle)
    except FileNotFoundError:
        return _make_token(path)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if not 16 <= len(raw) <= _TOKEN_BYTES_MAX or not raw.isascii():
        raise ConfigurationError(f"{path} holds no token; remove it and start again")
    return raw.decode("ascii")


def _make_token(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    # written aside and linked into place: a reader never sees half a token, and the first one wins
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(token + "\n")
        os.link(draft, path)
    except FileExistsError:
        return load_token(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return token


class Guard:
    """The checks before any local request is looked at.

    Args:
        token: what `load_token` returned.
        host: the host name or address the listener is bound to.
    """

    def __init__(self, token: str, host: str) -> None:
        self._token = token.encode("ascii")
        bound = f"[{host}]" if ":" in host else host
        self._names = _LOOPBACK_NAMES | {bound.lower()}
        # a listener on every address cannot list them; a rebound *name* is still refused
        address = _address(host)
        self._any_address = address is not None and address.is_unspecified

    def __repr__(self) -> str:
        return "Guard(token=…)"

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raise `ApiError` 403 where the Host field names anything but this listener."""
        host = headers.get("host", "").lower()
        name, colon, port = host.rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host, "0"
        known = name in self._names or (self._any_address and _address(name) is not None)
        if not known or not port.isdecimal():
            raise ApiError(403, "bad-host", "the Host field names another host than this listener")

    def check_token(self, headers: Mapping[str, str]) -> None:
        """Raise `ApiError` 401 where the Authorization field does not carry the token."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._token)
        if scheme.lower() != "bearer" or not right:
            message = f"send the token of the file {TOKEN_FILE}: Authorization: Bearer …"
            raise ApiError(401, "unauthorized", message)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
