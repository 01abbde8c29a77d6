"""The node's Celery application with a few tasks that write down what happens to them.

Used as ``--app tests.support.worker_app`` by worker processes of the integration tests.
"""

import os
from pathlib import Path

from replicator.settings import load_settings
from workers.app import make_app

app = make_app(load_settings(Path(os.environ["REPLICATOR_HOME"]), os.environ))
app.conf.include = [*app.conf.include, "tests.support.worker_tasks"]
