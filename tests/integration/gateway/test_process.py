"""The gateway as the process it really is, over Valkey, with and without Celery's worker."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from replicator.adapters.celery_commands import CeleryCommands
from replicator.adapters.queue_names import queue_name
from replicator.settings import Settings
from tests.support.gateway import call
from tests.support.gateway_process import gateway_process
from tests.support.home import make_home
from tests.support.waiting import eventually

pytest_plugins = ["tests.support.work_fixtures"]

HELD = 500
THREADS_MAX = 20


@pytest.fixture
def process(tmp_path, own_server):
    settings = make_home(tmp_path / "home", "here.example", own_server.url)
    with gateway_process(settings, tmp_path / "log") as it:
        yield it


@pytest.fixture
def patient(tmp_path, own_server):
    """A gateway that waits for a worker as long as one needs to start on a busy machine."""
    limits = {"answer_seconds": 50, "peer_call_seconds": 55, "lease_seconds": 60}
    limits |= {
        "work_body_seconds": 60,
        "peer_burst_requests_max": 2 * HELD,
        "peer_open_requests_max": HELD,
    }
    settings = make_home(tmp_path / "home", "here.example", own_server.url, limits=limits)
    with gateway_process(settings, tmp_path / "log") as it:
        yield it


@contextmanager
def celery_answers(settings: Settings, log: Path) -> Iterator[None]:
    """Run the node's `answers` worker, ended with all its children."""
    commands = CeleryCommands(settings.home, settings.node_id)
    with log.open("wb") as output:
        child = subprocess.Popen(
            commands.answers(1),
            env={**os.environ, **commands.environment()},
            stdout=output,
            stderr=output,
        )
    family = psutil.Process(child.pid)
    try:
        yield
    finally:
        for member in [*family.children(recursive=True), family]:
            member.kill()
        child.wait(10)


def test_500_requests_held_without_a_worker_cost_few_threads_and_are_all_answered(
    patient, own_server, tmp_path
):
    process = patient
    gateway = psutil.Process(process.child.pid)
    most_threads = 0

    async def ask(request: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", process.sync_port)
        try:
            writer.write(request)
            return int((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
        finally:
            writer.close()

    async def main() -> list[int]:
        nonlocal most_threads
        asked = [asyncio.create_task(ask(process.raw())) for _ in range(HELD)]
        with own_server.client() as valkey:
            queue = process.settings.prefix + queue_name(process.settings.node_id, "requests")
            waiting = 0
            while waiting < HELD:
                waiting = valkey.llen(queue)
                most_threads = max(most_threads, gateway.num_threads())
                await asyncio.sleep(0.02)
        assert not any(task.done() for task in asked)
        with celery_answers(process.settings, tmp_path / "worker.log"):
            return await asyncio.gather(*asked)

    statuses = asyncio.run(asyncio.wait_for(main(), 80))
    assert statuses == [200] * HELD
    assert most_threads <= THREADS_MAX


def test_a_worker_answers_through_valkey(process, tmp_path):
    with celery_answers(process.settings, tmp_path / "worker.log"):
        got = eventually(lambda: (g := process.post()).status == 200 and g, "it is answered")
    assert got.tree["status"] == "success"
    assert got.is_signed


def test_it_stops_at_sigterm_answering_what_is_in_hand(process, own_server):
    with socket.create_connection(("127.0.0.1", process.sync_port)) as client:
        client.settimeout(15)
        client.sendall(process.raw())
        with own_server.client() as valkey:
            queue = process.settings.prefix + queue_name(process.settings.node_id, "requests")
            eventually(lambda: valkey.llen(queue) == 1, "the worker's queue has it")
        assert process.stop() == 0
        assert client.recv(100).startswith(b"HTTP/1.1 503")


def test_while_valkey_is_away_it_says_so_and_comes_back_by_itself(process, own_server, tmp_path):
    assert call(process.sync_port, "GET", "/healthz").status == 200
    own_server.kill()
    got = process.post()
    assert (got.status, got.tree["code"]) == (503, "busy")
    eventually(lambda: call(process.sync_port, "GET", "/healthz").status == 503, "it says so")
    own_server.start()
    with celery_answers(process.settings, tmp_path / "worker.log"):
        eventually(lambda: process.post().status == 200, "it serves again")


def test_a_frozen_valkey_makes_requests_busy_not_hang(process, own_server):
    own_server.freeze()
    try:
        began = time.monotonic()
        got = process.post()
        assert (got.status, got.tree["code"]) == (503, "busy")
        assert time.monotonic() - began < process.settings.limits.answer_seconds + 3
    finally:
        own_server.thaw()


def test_an_idle_gateway_costs_next_to_nothing(process):
    gateway = psutil.Process(process.child.pid)
    eventually(lambda: call(process.sync_port, "GET", "/healthz").status == 200, "it is up")
    assert gateway.cpu_percent(interval=3.0) < 2.0


def test_a_taken_port_is_told_in_one_line(process, tmp_path):
    environment = {
        **os.environ,
        "REPLICATOR_HOME": str(process.settings.home),
        "REPLICATOR_GATEWAY_LISTEN": f"127.0.0.1:{process.sync_port}",
        "REPLICATOR_LOCAL_LISTEN": "127.0.0.1:0",
    }
    command = [sys.executable, "-m", "replicator.gateway"]
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert b"cannot listen" in ended.stderr
    assert b"Traceback" not in ended.stderr
