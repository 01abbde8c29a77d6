"""The command lines of Celery's processes: what they consume, and what they must not show."""

from pathlib import Path

from replicator.adapters.celery_commands import CeleryCommands
from replicator.adapters.queue_names import LANES
from replicator.protocol.ids import NodeId

COMMANDS = CeleryCommands(Path("/srv/alpha"), NodeId("alpha.example"), log_level="warning")


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_worker_that_answers_consumes_nothing_that_waits_for_a_peer() -> None:
    queues = "alpha.example.requests,alpha.example.ticks"
    assert option(COMMANDS.answers(2), "--queues") == queues
    assert option(COMMANDS.answers(2), "--pool") == "prefork"


def test_both_workers_together_consume_every_lane_once() -> None:
    queues = [
        queue
        for command in (COMMANDS.answers(2), COMMANDS.lanes(8))
        for queue in option(command, "--queues").split(",")
    ]
    assert sorted(queues) == sorted(f"alpha.example.{lane}" for lane in LANES)


def test_workers_have_stable_names() -> None:
    assert option(COMMANDS.answers(2), "--hostname") == "answers@alpha.example"
    assert option(COMMANDS.lanes(8), "--hostname") == "lanes@alpha.example"


def test_no_password_stands_on_a_command_line() -> None:
    command = COMMANDS.flower("127.0.0.1", 5555)
    assert not any("auth" in part for part in command)
    assert COMMANDS.flower_environment("operator", "s3cret")["FLOWER_BASIC_AUTH"] == (
        "operator:s3cret"
    )


def test_workers_report_events_only_where_asked() -> None:
    loud = CeleryCommands(Path("/srv/alpha"), NodeId("alpha.example"), events=True)
    assert "--task-events" not in COMMANDS.lanes(8)
    assert "--task-events" in loud.lanes(8)
