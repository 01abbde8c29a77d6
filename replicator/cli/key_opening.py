"""Whether the keys of a node open, asked before `up` starts processes that all need them.

Opening keys takes a library that `up` does without, for it stays in memory as long as the node
runs. So only the first line of each file is read here, and what is protected is opened by a command
of its own, which ends.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from replicator.errors import ConfigurationError
from replicator.settings import Settings

_SECONDS: Final = 60.0
_LINE_BYTES_MAX: Final = 100


def require_keys_that_open(settings: Settings) -> None:
    """Refuse keys and a passphrase that do not fit: children would end, again and again.

    Raises:
        ConfigurationError: names the file and what to do.
    """
    protected = False
    for file in _files(settings.keys_folder):
        is_protected = _is_protected(file)
        protected = protected or is_protected
        if is_protected and settings.key_passphrase is None:
            raise ConfigurationError(f"{file} is encrypted: set REPLICATOR_KEY_PASSPHRASE")
        if not is_protected and settings.key_passphrase is not None:
            raise ConfigurationError(
                f"{file} is not encrypted, and a passphrase is given: unset key_passphrase "
                "(REPLICATOR_KEY_PASSPHRASE); to protect the keys: `replicator keys passphrase`, "
                "then set it"
            )
    if protected:
        _open(settings.home)


def _files(folder: Path) -> list[Path]:
    return sorted((*folder.glob("node-*.pem"), *folder.glob("pool-*.pem")))


def _is_protected(file: Path) -> bool:
    with file.open("rb") as lines:
        return b"ENCRYPTED" in lines.readline(_LINE_BYTES_MAX)


def _open(home: Path) -> None:
    """Open every key by `keys list`, in the node's home like all its processes; say what it said.

    The passphrase is among its settings; nothing secret is on its command line.
    """
    command = (sys.executable, "-m", "replicator.cli", "--home", str(home), "keys", "list")
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=home,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"the keys in {home} did not open within {_SECONDS} s") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason is given"]
        raise ConfigurationError(said[-1].removeprefix("Error: "))
