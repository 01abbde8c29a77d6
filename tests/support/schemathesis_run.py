"""Schemathesis as a command of its own, with every check on and a seed that can be repeated."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HOOKS = Path(__file__).with_name("openapi_hooks.py")
SEED = 20_261_123
REFUSALS = (400, 401, 403, 404, 405, 409, 410, 413, 415, 422)


@dataclass(frozen=True)
class Surface:
    """What is tested.

    Args:
        location: URL or file of the description.
        base: URL of the server.
        accepted: statuses besides 2xx that a request as described may get.
        token: for the scheme named ``token``, or None.
    """

    location: str
    base: str
    accepted: Sequence[int]
    token: str | None = None


def run(surface: Surface, folder: Path, *, examples: int) -> tuple[int, str]:
    """Return the exit status of a run and all that it printed.

    Args:
        folder: empty; Schemathesis writes its notes there.
        examples: made up for each operation, besides those that cover its schema.
    """
    statuses = ", ".join(['"2xx"', *map(str, surface.accepted)])
    refusals = ", ".join(map(str, REFUSALS))
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
        "[checks.positive_data_acceptance]",
        f"expected-statuses = [{statuses}]",
        "[checks.negative_data_rejection]",
        f"expected-statuses = [{refusals}]",
    ]
    if surface.token is not None:
        lines += ["[auth.openapi.token]", f"bearer = '{surface.token}'"]
    config = folder / "schemathesis.toml"
    config.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run"]
    ended = subprocess.run(
        [*command, surface.location],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=110,
        check=False,
    )
    return ended.returncode, ended.stdout.decode()
