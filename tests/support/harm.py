"""Nodes whose processes are harmed from their start, and pools of nodes to do it to.

What is set here reaches every process of the node tree through its environment.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.loopback import free_ports
from replicator.adapters.sql.store import SqlStore
from replicator.cli.demo_node import DemoFailed, DemoNode, Site
from replicator.cli.founding import found
from replicator.errors import Unavailable
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from replicator.settings import CONFIG_NAME
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
"""On a busy machine three nodes, fifteen interpreters, were not up after a minute."""
LOG_CHARS = 1_500
IMPATIENT: Mapping[str, float] = {
    "connect_seconds": 1,
    "answer_seconds": 2,
    "peer_call_seconds": 2.5,
    "slice_seconds": 1,
    "lease_seconds": 3,
    "claim_seconds": 3,
    "visibility_seconds": 3,
    "doorbell_seconds": 3,
    "retry_base_seconds": 0.2,
    "retry_cap_seconds": 2,
    "malformed_base_seconds": 0.5,
    "misfit_cap_seconds": 60,
    "wake_seconds": 1,
    "pull_seconds": 2,
    "reconcile_seconds": 3,
}
"""Limits of nodes that get over a death within seconds."""


@dataclass(frozen=True, slots=True)
class OtherSite(Site):
    """A site whose database is not in its home."""

    url: str = ""

    @property
    def database_url(self) -> str:
        """Its database."""
        return self.url


def found_nodes(
    folder: Path, count: int, limits: Mapping[str, float], *, urls: Mapping[int, str] | None = None
) -> list[DemoNode]:
    """Make nodes that share a pool key and know each other; none of them runs.

    Args:
        folder: for their homes.
        count: of nodes.
        limits: other than the defaults.
        urls: place of a node → database other than SQLite.
    """
    ports = free_ports(2 * count, SystemRandom())
    sites = []
    for number in range(count):
        place = (NodeId(f"node{number + 1}.test"), folder / f"node{number + 1}")
        url = (urls or {}).get(number)
        mine = (*place, ports.pop(), ports.pop())
        sites.append(Site(*mine) if url is None else OtherSite(*mine, url=url))
    pool_key = PrivateKey.generate().to_pem()
    for site in sites:
        _found(site, pool_key, limits)
        introduce(site, {other.node_id: other.address for other in sites if other is not site})
    return [DemoNode(site) for site in sites]


def _found(site: Site, pool_key: bytes, limits: Mapping[str, float]) -> None:
    given: dict[str, str | int] = {
        "address": site.address,
        "gateway_listen": site.address.removeprefix("http://"),
        "local_listen": f"127.0.0.1:{site.local_port}",
        "answers_processes": 1,
        "database_url": site.database_url,
    }
    found(site.home, site.node_id, given, {})
    KeyFiles(site.home / "keys").import_pool_key(pool_key)
    with (site.home / CONFIG_NAME).open("a", encoding="utf-8") as settings:
        settings.write("\n[limits]\n")
        settings.writelines(f"{name} = {value}\n" for name, value in limits.items())


def introduce(site: Site, addresses: Mapping[NodeId, str]) -> None:
    """Add peers by id and address, as `peers add` does; a known one gets another address."""
    store = SqlStore(site.database_url)
    try:
        for node_id, address in addresses.items():
            store.add_peer(node_id, address, int(time.time() * 1000))
    finally:
        store.close()


def publish(node: DemoNode, drafts: Sequence[bytes]) -> None:
    """Publish at a node, again where its connection was closed for being idle: ids make it safe."""
    try:
        node.publish(drafts)
    except Unavailable:
        node.publish(drafts)


@contextmanager
def running(*nodes: DemoNode) -> Iterator[None]:
    """Run nodes for as long as the context lasts."""
    try:
        for node in nodes:
            node.start()
        ready(*nodes)
        yield
    finally:
        for node in nodes:
            node.close()


def ready(*nodes: DemoNode) -> None:
    """Wait until all of them answer; where one does not, fail with what its logs say last."""
    try:
        eventually(
            lambda: all(node.is_ready() for node in nodes),
            "all nodes are up",
            seconds=START_SECONDS,
        )
    except (AssertionError, DemoFailed) as failure:
        for node in nodes:
            if not (node.is_up and node.is_ready()):
                failure.add_note(_last_words(node))
        raise


def _last_words(node: DemoNode) -> str:
    logs = sorted((node.site.home / "log").glob("*.log"))
    ends = [f"{log.name}: ...{log.read_text(errors='replace')[-LOG_CHARS:]}" for log in logs]
    return "\n".join([f"{node.site.node_id} does not answer", *ends])


@contextmanager
def harmed(*, clock_seconds: float = 0.0, deaths: bool = False) -> Iterator[None]:
    """Harm the processes of all nodes that are started within.

    Args:
        clock_seconds: added to the clock of every process.
        deaths: whether workers look for the deaths of `tests.support.deaths`.
    """
    paths = [str(Path(__file__).parent / "site"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    harm = {"PYTHONPATH": ":".join(path for path in paths if path)}
    harm["HARM_CLOCK_SECONDS"] = str(clock_seconds)
    harm["HARM_DEATHS"] = "1" if deaths else ""
    before = {name: os.environ.get(name) for name in harm}
    os.environ.update(harm)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
