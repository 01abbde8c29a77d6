"""What all tests of commands need: no setting of the shell they are run from."""

import os

import pytest


@pytest.fixture(autouse=True)
def _only_settings_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("REPLICATOR_") and not name.startswith("REPLICATOR_TEST_"):
            monkeypatch.delenv(name)
