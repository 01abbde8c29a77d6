"""The beat and Flower: the application without bodies of tasks needs no key, and reads none."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from workers.app import names
names.amqp.Connection(names.conf.broker_url)
never = ("keyfiles", "protocol.signing", "sqlalchemy")
print([name for name in sys.modules if name.endswith(never)])
"""


def test_a_process_that_only_names_tasks_loads_no_key_and_no_code_that_could(
    tmp_path: Path,
) -> None:
    (tmp_path / "replicator.toml").write_text(
        'node_id = "alpha.example"\nwork_url = "redis://127.0.0.1:1/0"\n'
    )
    paths = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("REPLICATOR_")},
        "REPLICATOR_HOME": str(tmp_path),
        "PYTHONPATH": ":".join(paths),
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
