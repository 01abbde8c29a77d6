"""A signed request as a curl command line, for people who want to see one go over the wire.

Pure. The command is for a POSIX shell and sends exactly the signed bytes.
"""

import shlex
from typing import Final

from replicator.protocol.envelope import Signed

_ARGUMENT_BYTES_MAX: Final = 100_000
"""Linux takes no single argument of 128 KiB; a larger body goes through a pipe."""


def as_curl(url: str, signed: Signed, body: bytes, media_type: str) -> str:
    """Return a command line that sends ``body`` with the fields of ``signed`` to ``url``.

    Args:
        body: the bytes that were signed; text without NUL (an uncompressed document).
        media_type: what the answer is asked in; the same as the body's.

    Raises:
        ValueError: the body cannot stand in a shell command.
    """
    text = body.decode("utf-8")
    if "\0" in text:
        raise ValueError("a body with NUL cannot stand in a shell command")
    fields = {**signed.headers, "accept": media_type}
    words = ["curl --silent --show-error"]
    words += ["-H " + shlex.quote(f"{name}: {value}") for name, value in fields.items()]
    piped = len(body) > _ARGUMENT_BYTES_MAX or body.startswith(b"@")
    words.append("--data-binary " + ("@-" if piped else shlex.quote(text)))
    words.append(shlex.quote(url))
    command = " \\\n  ".join(words)
    return f"printf %s {shlex.quote(text)} | {command}" if piped else command
