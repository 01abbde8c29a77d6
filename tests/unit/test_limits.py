"""The bounds contradict neither each other nor what every node accepts."""

import pytest

from replicator.limits import PROTOCOL_FLOOR, Limits


def test_the_defaults_hold_every_relation():
    limits = Limits()
    assert limits.peer_call_seconds < limits.lease_seconds


@pytest.mark.parametrize("name", sorted(PROTOCOL_FLOOR))
def test_what_every_node_accepts_cannot_be_lowered(name):
    with pytest.raises(ValueError, match=name):
        Limits(**{name: PROTOCOL_FLOOR[name] - 1})


@pytest.mark.parametrize(
    "changed",
    [
        {"connect_seconds": 20.0},
        {"peer_call_seconds": 30.0},
        {"slice_seconds": 30.0},
        {"answer_seconds": 20.0},
        {"batch_bytes_max": 128 * 1024},
        {"batch_bytes_max": 1024 * 1024},
        {"inline_post_bytes_max": 512 * 1024},
        {"retry_base_seconds": 301.0},
        {"address_share": 0.0},
        {"address_share": 1.5},
        {"in_flight_bytes_max": 3 * 1024 * 1024},
        {"pipelined_requests_max": 0},
        {"unread_seconds": 0.0},
    ],
)
def test_limits_that_contradict_each_other_are_refused(changed):
    with pytest.raises(ValueError, match="contradict"):
        Limits(**changed)
