"""URLs of the broker and the work state: TLS is always checked, passwords are never shown."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from replicator.adapters.broker import KombuDoorbell
from replicator.adapters.queues import plain_url, tls_of
from replicator.adapters.redis.connection import connect
from replicator.errors import ConfigurationError
from replicator.protocol.ids import NodeId
from replicator.settings import Settings, load_settings
from workers.app import make_app
from workers.config import configuration

SECRET = "hush-hush"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "replicator.toml").write_text('node_id = "alpha.example"\n')
    return tmp_path


def loaded(home: Path, **values: str) -> Settings:
    return load_settings(home, {f"REPLICATOR_{n.upper()}": v for n, v in values.items()})


def connection_of(url: str) -> dict[str, Any]:
    return connect(url).connection_pool.connection_kwargs


def test_a_work_state_over_tls_is_checked_by_the_ca_that_is_set(home: Path) -> None:
    settings = loaded(home, work_url="rediss://u:p@server:1/0", tls_ca="/etc/ca.pem")
    made = connection_of(settings.work)
    assert made["ssl_cert_reqs"] == "required"
    assert made["ssl_check_hostname"] is True
    assert made["ssl_ca_certs"] == "/etc/ca.pem"
    assert (made["username"], made["password"]) == ("u", "p")


def test_a_client_certificate_is_shown_where_one_is_set(home: Path) -> None:
    files = {"tls_certificate": "/c.pem", "tls_key": "/k.pem"}
    made = connection_of(loaded(home, work_url="rediss://server", **files).work)
    assert (made["ssl_certfile"], made["ssl_keyfile"]) == ("/c.pem", "/k.pem")
    with pytest.raises(ConfigurationError, match="tls_key"):
        loaded(home, work_url="rediss://server", tls_certificate="/c.pem")


@pytest.mark.parametrize("ca", [{}, {"tls_ca": "/etc/ca.pem"}])
def test_celery_checks_certificate_and_name_of_a_broker_over_tls(
    home: Path, ca: dict[str, str]
) -> None:
    redis = configuration(loaded(home, work_url="rediss://server:1/0", **ca))
    assert redis["broker_url"] == "rediss://server:1/0"
    assert redis["broker_use_ssl"]["ssl_cert_reqs"] == "required"
    assert redis["broker_use_ssl"]["ssl_check_hostname"] is True
    assert redis["broker_use_ssl"].get("ssl_ca_certs") == ca.get("tls_ca")
    urls = {"work_url": "redis://x", "broker_url": "amqps://u:p@server:1/v?heartbeat=5"}
    rabbit = configuration(loaded(home, **urls, **ca))
    assert rabbit["broker_url"] == "amqps://u:p@server:1/v?heartbeat=5"
    assert rabbit["broker_use_ssl"]["cert_reqs"] == ssl.CERT_REQUIRED
    assert rabbit["broker_use_ssl"]["server_hostname"] is None  # kombu: the name of the URL
    assert rabbit["broker_use_ssl"].get("ca_certs") == ca.get("tls_ca")


@pytest.mark.parametrize("url", ["redis://server:1/0", "amqp://server//"])
def test_without_tls_nothing_is_said_of_it(url: str) -> None:
    assert plain_url(url) == url
    assert tls_of(url) is False


def test_what_cannot_be_spoken_to_is_refused_before_anything_starts(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="broker_url: one of"):
        loaded(home, work_url="redis://server", broker_url="sentinel://a:1;b:2")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("work_url", f"redis://:{SECRET}/x@server:1/0"),
        ("work_url", f"redis://:{SECRET}#x@server:1/0"),
        ("work_url", f"redis://:{SECRET}@server:port/0"),
        ("work_url", f"http://:{SECRET}@server:1/0"),
        ("work_url", f"rediss://:{SECRET}@server:1/0?ssl_cert_reqs=none"),
        ("broker_url", f"amqp://u:{SECRET}?x@server:1//"),
        ("broker_url", f"memory://u:{SECRET}@server"),
        ("broker_url", f"amqps://u:{SECRET}@server?ssl_check_hostname=false"),
    ],
)
def test_a_url_that_is_refused_is_not_quoted(home: Path, name: str, url: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as found:
        loaded(home, **{name: url})
    assert SECRET not in str(found.value)
    assert found.value.__cause__ is None or SECRET not in str(found.value.__cause__)


def test_what_redis_says_of_a_url_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as found:
        connect(f"redis://:{SECRET}@server:{SECRET}/0")
    assert SECRET not in str(found.value)
    assert found.value.__cause__ is None


def test_no_password_stands_in_any_repr(home: Path) -> None:
    settings = loaded(
        home,
        work_url=f"redis://u:{SECRET}@server:1/0",
        broker_url=f"amqp://u:{SECRET}@server:1//",
        database_url=f"postgresql+psycopg://u:{SECRET}@server/x",
        key_passphrase=SECRET,
    )
    app = make_app(settings)
    shown = (
        repr(settings),
        repr(app),
        app.conf.humanize(),
        repr(app.connection()),
        app.connection().as_uri(),
        repr(KombuDoorbell(settings.broker, NodeId("a.example"))),
    )
    assert not [text for text in shown if SECRET in text]
