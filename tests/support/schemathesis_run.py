"""Schemathesis as a command of its own, with every check on and a seed that can be repeated."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.openapi_signed import VARIABLE

HOOKS = Path(__file__).with_name("openapi_hooks.py")
SEED = 20_261_123
REFUSALS = (400, 401, 403, 404, 405, 409, 410, 413, 415, 422)
NOT_SUPPORTED = 501


@dataclass(frozen=True)
class Surface:
    """What is tested.

    Args:
        location: URL or file of the description.
        base: URL of the server.
        accepted: statuses besides 2xx that a request as described may get.
        token: for the scheme named ``token``, or None.
        signer: file of who signs the requests (see `openapi_signed`), or None.
    """

    location: str
    base: str
    accepted: Sequence[int]
    token: str | None = None
    signer: Path | None = None


def run(surface: Surface, folder: Path, *, examples: int) -> tuple[int, str]:
    """Return the exit status of a run and all that it printed.

    Args:
        folder: empty; Schemathesis writes its notes there.
        examples: made up for each operation, besides those that cover its schema.
    """
    statuses = ", ".join(['"2xx"', *map(str, surface.accepted)])
    refusals = ", ".join(map(str, (*REFUSALS, NOT_SUPPORTED)))
    lines = [
        f"hooks = '{HOOKS}'",
        f"base-url = '{surface.base}'",
        f"seed = {SEED}",
        "continue-on-failure = true",
        "request-timeout = 20",
        "[generation]",
        f"max-examples = {examples}",
        "no-shrink = true",
        "database = 'none'",
        "[checks]",
        "enabled = true",
        "[checks.not_a_server_error]",
        f"expected-statuses = ['2xx', '3xx', '4xx', {NOT_SUPPORTED}]",
        "[checks.positive_data_acceptance]",
        f"expected-statuses = [{statuses}]",
        "[checks.negative_data_rejection]",
        f"expected-statuses = [{refusals}]",
    ]
    if surface.signer is not None:  # covering what is nested so deep takes half a minute
        lines += ["[phases.coverage]", "enabled = false"]
    if surface.token is not None:
        lines += ["[auth.openapi.token]", f"bearer = '{surface.token}'"]
    config = folder / "schemathesis.toml"
    config.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run"]
    ended = subprocess.run(
        [*command, surface.location],
        cwd=folder,
        env=_environment(surface),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=110,
        check=False,
    )
    return ended.returncode, ended.stdout.decode()


def _environment(surface: Surface) -> dict[str, str]:
    signer = {} if surface.signer is None else {VARIABLE: str(surface.signer)}
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **signer}
