"""``python -m tests.audit static`` or ``dependencies [LOCK...]``, from the root of the checkout."""

import subprocess
import sys
import time
import tomllib
from pathlib import Path

from tests.audit import advisories, exceptions

ROOT = Path(__file__).parents[2]
PARTS = ("replicator", "workers", "tests", "deploy")


def static() -> tuple[int, list[str]]:
    """Run ruff's security rules, and look for exceptions without a reason."""
    settings = (ROOT / "pyproject.toml").read_text()
    # a selection on the command line would also select what pyproject.toml ignores
    ignored = tomllib.loads(settings)["tool"]["ruff"]["lint"]["ignore"]
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--select", "S", "."]
    command += ["--ignore", ",".join(ignored)]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    bare = [
        f"pyproject.toml:{number}: {text}"
        for number, text in exceptions.unexplained_in_settings(settings.splitlines())
    ]
    for path in sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py")):
        bare += [
            f"{path.relative_to(ROOT)}:{number}: {text}"
            for number, text in exceptions.unexplained_in_code(path.read_text().splitlines())
        ]
    if bare:
        return 1, ["These exceptions from security rules carry no reason:", *bare]
    return status, [] if status else ["the security rules hold, and each exception has its reason"]


def main() -> int:
    """Run the part that the command line names; the exit status tells the outcome."""
    began = time.monotonic()
    part, locks = sys.argv[1:2], sys.argv[2:]
    if part == ["static"]:
        status, lines = static()
    elif part == ["dependencies"]:
        status, lines = advisories.run([ROOT / lock for lock in locks or advisories.LOCKS])
    else:
        status, lines = 64, [str(__doc__)]
    verdict = "FAILED" if status else "passed"
    lines.append(f"audit {' '.join(part)}: {verdict} in {time.monotonic() - began:.1f} s")
    sys.stdout.write("\n".join(lines) + "\n")
    return status


sys.exit(main())
