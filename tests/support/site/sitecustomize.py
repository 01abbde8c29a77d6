"""What Python runs first in every process of a node that a test harms: see `tests.support.harm`.

Found through PYTHONPATH. It gives such processes a wrong clock, or the points at which their
workers kill themselves; the product knows nothing of either.
"""

import importlib
import importlib.util
import os
import sys
import time

SHIFT = float(os.environ.get("HARM_CLOCK_SECONDS", "0"))

if SHIFT:
    _time, _time_ns = time.time, time.time_ns
    time.time = lambda: _time() + SHIFT
    time.time_ns = lambda: _time_ns() + int(SHIFT * 1_000_000_000)


class _AfterImport:
    """Finds `workers.lifecycle` as always, and has `tests.support.deaths` change it then."""

    NAME = "workers.lifecycle"

    def find_spec(self, name, _path=None, _target=None):
        if name != self.NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            importlib.import_module("tests.support.deaths").install(module)

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("HARM_DEATHS"):
    sys.meta_path.insert(0, _AfterImport())
