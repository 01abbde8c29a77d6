"""The table from errors to what Celery sees."""

import pytest

from replicator.errors import (
    BadAnswer,
    BadPostSignature,
    BrokerUnavailable,
    ConfigurationError,
    CursorConflict,
    ErrorCode,
    KeyChanged,
    Malformed,
    NotSupported,
    PeerRefused,
    PeerUnavailable,
    Refusal,
    ReplicatorError,
    StoreUnavailable,
    WorkUnavailable,
)
from workers.base import outcome_of


@pytest.mark.parametrize(
    ("error", "word", "level"),
    [
        (PeerUnavailable("no answer"), "unavailable", "info"),
        (StoreUnavailable("locked"), "unavailable", "info"),
        (WorkUnavailable("gone"), "unavailable", "info"),
        (BrokerUnavailable("gone"), "unavailable", "info"),
        (CursorConflict("moved"), "overtaken", "debug"),
        (Malformed("no JSON"), "invalid", "warning"),
        (BadPostSignature("no"), "invalid", "warning"),
        (BadAnswer("unsigned"), "peer misbehaved", "warning"),
        (KeyChanged("another"), "peer misbehaved", "warning"),
        (PeerRefused("forbidden", "no"), "peer refused", "warning"),
        (Refusal(ErrorCode.FORBIDDEN, "no"), "refused", "warning"),
        (NotSupported("reconcile"), "not supported", "warning"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_of_the_project_ends_a_task_well(
    error: ReplicatorError, word: str, level: str
) -> None:
    outcome = outcome_of(error)
    assert outcome is not None
    assert (outcome.word, outcome.level) == (word, level)


def test_a_configuration_that_does_not_fit_fails_the_task() -> None:
    assert outcome_of(ConfigurationError("no key")) is None
