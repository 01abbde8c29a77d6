"""What a worker process owns: one `Node`, opened once and closed with the process.

Prefork children open theirs after the fork, since connections must not cross it; worker kinds
without children (threads, solo) open theirs in the main process. A pool child never outlives its
parent: the kernel kills it, for a parent that was killed cannot.
"""

import ctypes
import os
import signal
import threading
from typing import Any, cast

import structlog
from celery import current_app, signals
from celery.concurrency import get_implementation
from celery.concurrency.prefork import TaskPool as PreforkPool

from replicator.adapters.queue_names import queue_name
from replicator.bootstrap import close_node, open_node
from replicator.errors import ConfigurationError, Unavailable
from replicator.node.context import Node
from replicator.node.reconciler import wake
from workers.app import NodeCelery
from workers.control import restrict

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""

log = structlog.get_logger(__name__)


class ProcessNode:
    """The one node of this process; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._node: Node | None = None

    def get(self) -> Node:
        """Return the node, opening it where it is not open yet.

        Raises:
            Unavailable: its store or work state does not answer; the next call tries again.
        """
        if self._node is None:
            with self._lock:
                if self._node is None:
                    self._node = open_node(cast(NodeCelery, current_app).settings)
        return self._node

    def close(self) -> None:
        """Close the node if it is open."""
        with self._lock:
            node, self._node = self._node, None
        if node is not None:
            close_node(node)


process_node = ProcessNode()
parents: list[int] = []
"""The main process, as its children inherit it through the fork."""


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; end now if it is dead already.

    Args:
        parent: the process id that the parent had before the fork.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        # The parent died between the fork and the call above; nobody would ever stop us.
        os._exit(1)


@signals.worker_init.connect
def open_in_main_process(sender: Any, **_: Any) -> None:
    """Open the node of a worker whose tasks run in its main process."""
    restrict()
    parents.append(os.getpid())
    if not issubclass(get_implementation(sender.pool_cls), PreforkPool):
        open_or_wait()


@signals.celeryd_after_setup.connect
def wake_lanes(instance: Any, **_: Any) -> None:
    """Spread the first rings of a worker that speaks to peers, so that restarts do not herd."""
    fanout = queue_name(instance.app.settings.node_id, "fanout")
    if fanout not in instance.app.amqp.queues.consume_from:
        return
    try:
        woken = wake(process_node.get())
    except Unavailable as error:
        log.warning("node.lanes_not_spread", reason=str(error))
    else:
        log.info("node.lanes_wake", peers=woken)


@signals.worker_process_init.connect
def open_in_pool_child(**_: Any) -> None:
    """Open the node of a pool child, and tie the child to its parent."""
    if parents and parents[-1] != os.getpid():
        die_with_parent(parents[-1])
    process_node.close()
    open_or_wait()


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def close_with_process(**_: Any) -> None:
    """Close the node with the process that owns it."""
    process_node.close()


def open_or_wait() -> None:
    """Open the node now; where a part is away, leave it to the first task that needs it."""
    try:
        process_node.get()
    except Unavailable as error:
        log.warning("node.not_open_yet", reason=str(error))
    except ConfigurationError as error:
        # Celery would log what a signal's receiver raises, and run tasks that all fail.
        log.error("node.cannot_open", reason=str(error))
        raise SystemExit(78) from error
