"""Celery's settings for one node, each with its reason. Pure.

What only a broker knows (names, time-outs, quorum queues) stands in `replicator.adapters.queues`.
Nothing here is read at the point of use, and nothing is taken from the environment.
"""

from typing import Any

from replicator.adapters.queue_names import queue_name
from replicator.adapters.queues import is_amqp, plain_url, tls_of, transport_options
from replicator.settings import Settings
from workers.queues import queues, routes
from workers.schedule import beat_schedule


def configuration(settings: Settings) -> dict[str, Any]:
    """Return the whole of Celery's configuration for one node."""
    return {
        **_broker(settings),
        **_tasks(settings),
        **_worker(settings),
        **_beat(settings),
    }


def _broker(settings: Settings) -> dict[str, Any]:
    url = settings.broker
    return {
        "broker_url": plain_url(url),
        # Certificates are always checked, where the URL asks for TLS.
        "broker_use_ssl": tls_of(url),
        "broker_transport_options": transport_options(url, settings.node_id, settings.limits),
        # A broker that starts after its workers, or is away for a night, is waited for.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # By default a publisher waits for ever when the pool is used up.
        "broker_pool_acquire_timeout": 5,
        # RabbitMQ only: a peer that vanished without a word is noticed within a minute.
        "broker_heartbeat": 30 if is_amqp(url) else 0,
        "task_queues": queues(url, settings.node_id),
        "task_routes": routes(settings.node_id),
        # A task without a route would wait in a queue nobody reads: refuse it at the publisher.
        "task_create_missing_queues": False,
        "task_default_queue": queue_name(settings.node_id, "upkeep"),
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0.2,
            "interval_step": 0.5,
            "interval_max": 2,
        },
        # Remote control belongs to one node, whatever else uses the server.
        "control_exchange": f"{settings.node_id}.control",
        "event_exchange": f"{settings.node_id}.events",
        "event_queue_prefix": f"{settings.node_id}.events",
    }


def _tasks(settings: Settings) -> dict[str, Any]:
    limits = settings.limits
    return {
        # JSON alone: whoever writes to the broker must not run code in a worker.
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        # The message lives until its work is done; a killed worker's is given to another.
        "task_acks_late": True,
        # A lost pool child: run again at once, three times in all, then FAILURE.
        "task_retry_on_worker_lost": True,
        # The ledger is the database; results would cost a quarter of the rate and a key each.
        "task_ignore_result": True,
        "result_backend": None,
        # Prefork only. A request is answered `busy` after answer_seconds; what still runs then
        # is stuck. Threads cannot be stopped: every call to a peer has its own deadline.
        "task_soft_time_limit": limits.answer_seconds + 5,
        "task_time_limit": limits.answer_seconds + 10,
        # Times are UTC everywhere.
        "enable_utc": True,
        "timezone": "UTC",
        "task_track_started": False,
    }


def _worker(settings: Settings) -> dict[str, Any]:
    return {
        # By name, as Celery wants it: the visibility heartbeat, the dead letters, no delays.
        "worker_consumer": "workers.consumer:NodeConsumer",
        # One message per process or thread, so that a slow one holds nothing back.
        "worker_prefetch_multiplier": 1,
        # SIGTERM finishes what runs, which every task bounds, and gives back the rest. A soft
        # shutdown would sleep its whole time even when all tasks end at once.
        "worker_soft_shutdown_timeout": 0.0,
        # Tasks are idempotent: let them finish when the connection breaks.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # A fuse against leaks, in kB; children are not replaced by count.
        "worker_max_memory_per_child": 300_000,
        # Events cost as much as the task; a running Flower turns them on by remote control.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        # It looks only at redelivered messages and needs results; our tasks are idempotent.
        "worker_deduplicate_successful_tasks": False,
        # Children open the store first, on a machine that may be busy with two more nodes.
        "worker_proc_alive_timeout": 20,
    }


def _beat(settings: Settings) -> dict[str, Any]:
    return {
        "beat_schedule": beat_schedule(settings.limits),
        # By name: it rings no more while enough messages wait.
        "beat_scheduler": "workers.beat:NodeScheduler",
        "beat_schedule_filename": str(settings.home / "run" / "beat-schedule"),
    }
