"""Celery's configuration: the settings that a promise hangs on, for both kinds of broker."""

from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from celery.app.defaults import DEFAULTS
from celery.exceptions import QueueNotFound

from replicator.adapters.queue_names import LANES, queue_name
from replicator.adapters.queues import ROUTES, dead_letter_queue, queue_of
from replicator.limits import Limits
from replicator.protocol.ids import NodeId
from replicator.settings import Settings
from workers.app import make_app
from workers.config import configuration
from workers.schedule import beat_schedule

NODE = NodeId("alpha.example")
REDIS = "redis://127.0.0.1:1/0"
RABBIT = "amqp://guest:guest@127.0.0.1:1//"


def settings_for(url: str, home: Path = Path("/nowhere")) -> Settings:
    return Settings(
        home=home, node_id=NODE, database_url="sqlite://", work_url=REDIS, broker_url=url
    )


@pytest.fixture(params=[REDIS, RABBIT], ids=["redis", "rabbitmq"])
def app(request: pytest.FixtureRequest) -> Celery:
    made = make_app(settings_for(request.param))
    made.conf.include = ()
    return made


@pytest.mark.parametrize("url", [REDIS, RABBIT])
def test_every_name_in_the_configuration_is_one_of_celerys(url: str) -> None:
    assert set(configuration(settings_for(url))) <= set(DEFAULTS)


def test_a_message_lives_until_its_work_is_done(app: Celery) -> None:
    assert app.conf.task_acks_late
    assert app.conf.worker_prefetch_multiplier == 1


def test_only_json_is_read(app: Celery) -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"


def test_a_broker_is_waited_for_without_end(app: Celery) -> None:
    assert app.conf.broker_connection_max_retries is None
    assert app.conf.broker_connection_retry_on_startup


def test_a_task_without_a_route_is_refused_where_it_is_sent(app: Celery) -> None:
    with pytest.raises(QueueNotFound):
        app.send_task("replicator.unheard-of", queue="alpha.example.unheard-of")


@pytest.mark.parametrize("kind", ROUTES)
def test_every_task_goes_to_the_lane_of_the_shared_table(app: Celery, kind: str) -> None:
    route = app.amqp.router.route({}, ROUTES[kind].task)
    assert route["queue"].name == queue_name(NODE, ROUTES[kind].lane)


def test_on_redis_keys_carry_the_node_and_deaths_are_found_soon() -> None:
    options = configuration(settings_for(REDIS))["broker_transport_options"]
    assert options["global_keyprefix"] == "replicator:alpha.example:"
    assert options["visibility_timeout"] == Limits().visibility_seconds
    sweep = options["unacked_restore_interval"] * options["unacked_restore_throttle"]
    assert sweep <= 5
    assert options["socket_timeout"] > 1


def test_on_redis_publishing_needs_no_binding_that_a_flush_could_take() -> None:
    assert {queue_of(REDIS, NODE, lane).exchange.name for lane in LANES} == {""}


def test_on_rabbitmq_queues_are_quorum_queues_and_poison_is_kept() -> None:
    for lane in LANES:
        queue = queue_of(RABBIT, NODE, lane)
        assert queue.queue_arguments["x-queue-type"] == "quorum"
        assert queue.exchange.type == "topic"
        dead = queue.queue_arguments.get("x-dead-letter-exchange")
        assert dead == (
            None if lane in ("upkeep", "ticks") else dead_letter_queue(NODE).exchange.name
        )
    assert configuration(settings_for(RABBIT))["broker_transport_options"]["confirm_publish"]


def test_ticks_expire_before_they_pile_up() -> None:
    limits = Limits(tick_seconds=2.0)
    schedule = beat_schedule(limits)
    assert schedule["tick"]["schedule"] == limits.tick_seconds
    for entry in schedule.values():
        assert timedelta(seconds=entry["options"]["expires"]) <= timedelta(
            seconds=2 * entry["schedule"]
        )


def test_the_beat_keeps_its_state_in_the_home_of_the_node() -> None:
    conf = configuration(settings_for(REDIS, Path("/srv/alpha")))
    assert conf["beat_schedule_filename"] == "/srv/alpha/run/beat-schedule"


def test_no_url_stands_in_the_repr_of_the_application() -> None:
    app = make_app(settings_for("redis://:s3cret@127.0.0.1:1/0"))
    assert "s3cret" not in repr(app)
    assert "s3cret" not in app.conf.humanize()
