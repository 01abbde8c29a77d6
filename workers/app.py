"""The Celery application of one node.

``celery --app workers.app`` finds it here. It is made on first use, not at import: importing this
module reads nothing. Tasks are found by name (``include``), so that no import runs in a circle.
"""

import os
from pathlib import Path
from typing import Any

from celery import Celery, signals

from replicator.errors import ConfigurationError
from replicator.settings import Settings, load_settings
from workers.config import configuration
from workers.logs import set_up

HOME_VARIABLE = "REPLICATOR_HOME"


class NodeCelery(Celery):
    """Celery's application, with the settings of the node it works for."""

    # By name, as Celery wants it: connections that check what comes in.
    amqp_cls = "workers.transport:NodeAMQP"
    settings: Settings


def make_app(settings: Settings, *, bodies: bool = True) -> NodeCelery:
    """Make the application of one node; opens nothing.

    Args:
        bodies: whether it can run tasks, or only names them.
    """
    app = NodeCelery(str(settings.node_id), include=["workers.tasks"] if bodies else [])
    app.settings = settings
    app.conf.update(configuration(settings))
    signals.after_setup_logger.connect(set_up)
    return app


def __getattr__(name: str) -> Any:
    """Make ``app`` of the node in ``REPLICATOR_HOME`` when it is first asked for.

    ``names`` is the same without the bodies of tasks, for the beat and Flower: they start sooner
    and are half as large, as they load neither database nor cryptography.
    """
    if name not in ("app", "names"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = os.environ.get(HOME_VARIABLE)
    if not home:
        raise ConfigurationError(f"set {HOME_VARIABLE} to the node's home folder")
    app = make_app(load_settings(Path(home), os.environ), bodies=name == "app")
    globals()[name] = app
    return app
