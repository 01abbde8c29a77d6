"""A node's home and the commands of its operator, run in this process."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from replicator.cli.root import root


class CliHome:
    """Runs commands in one home; an unexpected exit code fails, with what was written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *arguments: object, code: int = 0, **options: Any) -> Result:
        """Run a command to its end."""
        command = ["--home", str(self.path), *map(str, arguments)]
        result = CliRunner().invoke(root, command, **options)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *arguments: object, code: int = 0, **options: Any) -> Any:
        """Run a command with --json; return its document."""
        return json.loads(self(*arguments, "--json", code=code, **options).stdout)

    def findings(self, *, code: int = 0) -> list[dict[str, str]]:
        """Return what the doctor found to be wrong."""
        found: list[dict[str, str]] = self.json("doctor", code=code)
        return [one for one in found if one["level"] != "ok"]
