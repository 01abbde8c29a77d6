"""The real Flower, as the command line starts it: a password, stable names, readable arguments."""

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from replicator.adapters.broker import KombuDoorbell
from replicator.adapters.celery_commands import CeleryCommands
from replicator.node.ports import Ring
from replicator.protocol.ids import NodeId
from replicator.settings import Settings
from tests.integration.workers.conftest import StartWorker
from tests.support.celery_nodes import free_port, worker_environment
from tests.support.processes import LocalProcess
from tests.support.waiting import eventually

USER, PASSWORD = "operator", "correct-horse"


class Dashboard:
    """Flower over HTTP."""

    def __init__(self, port: int, process: LocalProcess) -> None:
        self.port, self.process = port, process

    def get(self, path: str, password: str | None = PASSWORD) -> tuple[int, str]:
        """Return status and body; 0 where nobody answers."""
        headers = {}
        if password is not None:
            token = base64.b64encode(f"{USER}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            link.request("GET", path, headers=headers)
            answer = link.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            link.close()

    def tasks(self) -> list[dict[str, Any]]:
        """Return what Flower knows of tasks."""
        return list(json.loads(self.get("/api/tasks")[1]).values())


@pytest.fixture
def dashboard(settings: Settings) -> Iterator[Dashboard]:
    commands = CeleryCommands(settings.home, settings.node_id)
    port = free_port()
    env = worker_environment(commands.flower_environment(USER, PASSWORD))
    process = LocalProcess(
        "flower", commands.flower("127.0.0.1", port), settings.home / "logs", env
    )
    it = Dashboard(port, process)
    try:
        eventually(lambda: it.get("/healthcheck")[0] == 200, "Flower", seconds=30)
        yield it
    finally:
        process.remove()


def test_flower_shows_workers_and_tasks_by_stable_names_behind_a_password(
    dashboard: Dashboard, settings: Settings, start_worker: StartWorker
) -> None:
    start_worker("answers")
    lanes = start_worker("lanes")
    for path in ("/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"):
        assert dashboard.get(path, password=None)[0] == 401, path
        assert dashboard.get(path, password="wrong")[0] == 401, path

    def shown() -> bool:
        page = dashboard.get("/workers")[1]
        return "answers@alpha.example" in page and "lanes@alpha.example" in page

    eventually(shown, "both workers", seconds=30)
    doorbell = KombuDoorbell(settings.broker, settings.node_id)

    def announced() -> list[dict[str, Any]]:
        # Flower asks workers for events when it sees them; a task before that is not shown.
        doorbell.ring([Ring("announce", NodeId("beta.example"), note="3 posts")])
        return [t for t in dashboard.tasks() if t["state"] == "SUCCESS" and t["name"]]

    found = eventually(announced, "an announce that succeeded", seconds=30)[0]
    doorbell.close()
    assert found["name"] == "replicator.announce"
    assert found["args"] == "peer=beta.example 3 posts"
    assert found["worker"] == "lanes@alpha.example"
    assert "not reachable" in found["result"]
    assert dashboard.get("/tasks")[0] == 200
    broker = dashboard.get("/broker")[1]
    assert "alpha.example.fanout" in broker
    assert dashboard.get("/worker/lanes@alpha.example")[0] == 200
    assert PASSWORD not in " ".join(dashboard.process.command)
    assert lanes.container.status == "running"
