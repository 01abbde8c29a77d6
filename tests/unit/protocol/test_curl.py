"""A signed request as a command line, run by a real shell with a stand-in for curl."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from replicator.protocol import envelope
from replicator.protocol.curl import as_curl
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey

URL = "http://127.0.0.1:8470/v1/sync"
CREDENTIALS = envelope.Credentials(NodeId("a"), ((PrivateKey.generate(), "node"),))
STAND_IN = """#!/bin/sh
printf '%s\\0' "$@" > "$OUT/arguments"
cat > "$OUT/input" < /dev/stdin
"""


def run(body: bytes, folder: Path) -> tuple[list[bytes], bytes, envelope.Signed]:
    """Return the arguments and the standard input that curl was given, and what was signed."""
    signed = envelope.sign_request(
        CREDENTIALS, NodeId("b"), body, "application/xml", created=1, nonce=bytes(16)
    )
    curl = folder / "curl"
    curl.write_text(STAND_IN)
    curl.chmod(curl.stat().st_mode | stat.S_IXUSR)
    environ = {"PATH": f"{folder}:{os.environ['PATH']}", "OUT": str(folder)}
    script = as_curl(URL, signed, body, "application/xml")
    subprocess.run(
        ["sh", "-s"], input=f"({script}\n) < /dev/null".encode(), env=environ, check=True
    )
    arguments = (folder / "arguments").read_bytes().split(b"\0")[:-1]
    return arguments, (folder / "input").read_bytes(), signed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"it":"\'s"}',
        b"two\nlines\n\n",
        b"$HOME `id` $(id) \\ \\n ! * ? ~ # ; & | < > ( ) %s %%",
        b"'; rm -rf x; '",
        "snow \u2603 and \U0001f600".encode(),
        b"-d --output x",
    ],
)
def test_a_body_arrives_byte_for_byte(body, tmp_path):
    arguments, _, signed = run(body, tmp_path)
    assert arguments[arguments.index(b"--data-binary") + 1] == body
    assert arguments[-1] == URL.encode()
    sent = {arguments[at + 1] for at, word in enumerate(arguments) if word == b"-H"}
    expected = {f"{name}: {value}".encode() for name, value in signed.headers.items()}
    assert sent == expected | {b"accept: application/xml"}


@pytest.mark.parametrize("body", [b"@/etc/passwd", b"x'\n" * 100_000], ids=["at sign", "large"])
def test_a_body_that_is_no_argument_goes_through_a_pipe(body, tmp_path):
    arguments, given, _ = run(body, tmp_path)
    assert arguments[arguments.index(b"--data-binary") + 1] == b"@-"
    assert given == body


def test_a_body_that_no_shell_can_carry_is_refused():
    signed = envelope.sign_request(
        CREDENTIALS, NodeId("b"), b"", "application/json", created=1, nonce=bytes(16)
    )
    for body in (b"a\0b", b"\xff"):
        with pytest.raises(ValueError):  # noqa: PT011 - two ways to be no text
            as_curl(URL, signed, body, "application/json")
