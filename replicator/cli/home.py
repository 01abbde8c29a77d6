"""The settings of the home a command works in, for commands that need nothing else of the node.

`up` stays as small as it starts: it loads neither database nor broker libraries.
"""

import os
from pathlib import Path

from replicator.settings import Settings, load_settings


def settings_of(home: Path) -> Settings:
    """Return the settings of a home.

    Raises:
        ConfigurationError: there is no node in it, or a setting is wrong.
    """
    return load_settings(home, os.environ)
