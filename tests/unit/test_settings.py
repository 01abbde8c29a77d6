"""Settings come from one file and REPLICATOR_* variables; unknown names and secrets stay out."""

import pytest

from replicator.errors import ConfigurationError
from replicator.node.ports import Keep
from replicator.rules.policy import Policy
from replicator.rules.quotas import Quotas
from replicator.settings import Settings, load_settings


@pytest.fixture
def home(tmp_path):
    (tmp_path / "replicator.toml").write_text('node_id = "alpha.example"\n')
    return tmp_path


def test_defaults_need_only_a_node_id(home):
    settings = load_settings(home, {})
    assert settings.node_id == "alpha.example"
    assert settings.database_url == f"sqlite:///{home / 'replicator.db'}"
    assert settings.work_url is None
    with pytest.raises(ConfigurationError, match="replicator up"):
        _ = settings.broker


def test_variables_overrule_the_file(home):
    environ = {"REPLICATOR_LANES_THREADS": "3", "REPLICATOR_HOME": str(home), "PATH": "/bin"}
    assert load_settings(home, environ).lanes_threads == 3


def test_the_work_url_that_up_left_is_found_unless_one_is_set(home):
    (home / "run").mkdir()
    (home / "run" / "work-url").write_text("redis://:secret@127.0.0.1:7777/0\n")
    assert load_settings(home, {}).broker == "redis://:secret@127.0.0.1:7777/0"
    environ = {"REPLICATOR_WORK_URL": "redis://127.0.0.1:1/0"}
    assert load_settings(home, environ).work == "redis://127.0.0.1:1/0"


def test_secrets_do_not_stand_in_the_repr(home):
    environ = {
        "REPLICATOR_WORK_URL": "redis://:hush1@h/0",
        "REPLICATOR_BROKER_URL": "redis://:hush2@h/0",
        "REPLICATOR_DATABASE_URL": "postgresql+psycopg://u:hush3@h/d",
        "REPLICATOR_KEY_PASSPHRASE": "hush4",
    }
    assert "hush" not in repr(load_settings(home, environ))


@pytest.mark.parametrize(
    ("toml", "environ", "message"),
    [
        ("gatway_listen = 'x:1'", {}, "did you mean 'gateway_listen'"),
        ("", {"REPLICATOR_WORKURL": "x"}, "REPLICATOR_WORKURL: unknown setting 'workurl'"),
        ("lanes_threads = '8'", {}, "lanes_threads must be a whole number"),
        ("lanes_threads = 0", {}, "from 1 to 256"),
        ("", {"REPLICATOR_LANES_THREADS": "many"}, "whole number"),
        ("put = 'open'", {}, "put: one of pool, peers"),
        ("reconcile = 'all'", {}, "reconcile: one of pool, peers, open, off"),
        ("roster = 'on'", {}, "roster: one of auto, ask, off"),
        ("keep_days = 0", {}, "keep_days must be from 1 to 36500; leave it out for no bound"),
        ("", {"REPLICATOR_KEEP_DAYS": "36501"}, "REPLICATOR_KEEP_DAYS: keep_days must be from 1"),
        ("keep_days = 1.5", {}, "keep_days must be a whole number"),
        ("keep_posts_per_origin = 0", {}, "leave it out for no bound"),
        ("keep_bytes_per_origin = -1", {}, "leave it out for no bound"),
        ("peer_posts_per_day = 0", {}, "leave it out for no bound"),
        ("", {"REPLICATOR_DISK_BYTES_MAX": "0"}, "leave it out for no bound"),
        ("", {"REPLICATOR_DISK_BYTES_MAX": "9" * 5000}, "a whole number is needed"),
        ("[limits]\nitems_mx = 1", {}, "did you mean 'items_max'"),
        ("[limits]\nitems_max = 1", {}, "items_max may not be below 500"),
        ("[limits]\nitems_max = 600.5", {}, "whole number"),
        ("[limits]\nitems_max = true", {}, "number above 0"),
        ("node_id = ", {}, "cannot be read"),
        ("gateway_listen = '8470'", {}, "gateway_listen: host:port is needed"),
        ("local_listen = 'localhost:http'", {}, "local_listen: host:port is needed"),
        ("flower_listen = '127.0.0.1:65536'", {}, "flower_listen: host:port is needed"),
        ("address = 'alpha.example'", {}, "address: a URL is needed"),
        ("allow_private = 1", {}, "allow_private must be true or false, without quotes"),
        ("allow_private = 'true'", {}, "allow_private must be true or false"),
        ("", {"REPLICATOR_ALLOW_PRIVATE": "True"}, "ALLOW_PRIVATE: true or false is needed"),
        ("", {"REPLICATOR_ALLOW_PRIVATE": "1"}, "ALLOW_PRIVATE: true or false is needed"),
        ("lanes_threads = true", {}, "lanes_threads must be a whole number"),
        ("log_level = 'loud'", {}, "log_level: one of debug, info, warning, error"),
        ("broker_url = 'rabbit://u:hush@h'", {}, "broker_url: (?!.*hush).*amqp://"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_do(home, toml, environ, message):
    text = toml if toml.startswith("node_id") else f'node_id = "alpha.example"\n{toml}\n'
    (home / "replicator.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load_settings(home, environ)


def test_a_missing_home_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigurationError, match="init"):
        load_settings(tmp_path, {})


def test_every_setting_but_the_home_and_limits_can_be_set_by_a_variable(home):
    given = {"node_id": "beta.example", "answers_processes": "3", "lanes_threads": "4"}
    given |= {"pull": "open", "get": "peers", "put": "peers"}
    given |= {"reconcile": "off", "roster": "ask", "keep_days": "30"}
    given |= {"keep_posts_per_origin": "5", "keep_bytes_per_origin": "6", "disk_bytes_max": "7"}
    given |= {"peer_posts_per_day": "8", "peer_bytes_per_day": "9"}
    given |= {"origin_posts_per_day": "10", "origin_bytes_per_day": "11"}
    given |= dict.fromkeys(("gateway_listen", "local_listen", "flower_listen"), "host:1")
    given |= {"address": "https://b", "broker_url": "amqp://b", "log_level": "debug"}
    given |= {"work_url": "redis://b"}
    given |= {"allow_private": "true"}
    given |= dict.fromkeys(("tls_ca", "tls_certificate", "tls_key"), "/a.pem")
    names = set(Settings.__dataclass_fields__) - {"home", "limits"}
    values = {name: given.get(name, f"value-of-{name}") for name in names}
    environ = {f"REPLICATOR_{name.upper()}": value for name, value in values.items()}
    settings = load_settings(home, environ)
    assert {name: str(getattr(settings, name)).lower() for name in names} == values


def test_relative_paths_are_in_the_home_wherever_a_process_was_started(home):
    files = dict.fromkeys(("TLS_CA", "TLS_CERTIFICATE", "TLS_KEY"), "tls/a.pem")
    environ = {f"REPLICATOR_{name}": value for name, value in files.items()}
    settings = load_settings(home, environ | {"REPLICATOR_DATABASE_URL": "sqlite:///here.db"})
    assert {settings.tls_ca, settings.tls_certificate, settings.tls_key} == {f"{home}/tls/a.pem"}
    assert settings.database_url == f"sqlite:///{home}/here.db"
    for url in ("sqlite:////var/x.db", "sqlite://", "postgresql+psycopg:///node"):
        assert load_settings(home, {"REPLICATOR_DATABASE_URL": url}).database_url == url


def test_private_addresses_are_called_only_where_that_is_said(home):
    assert load_settings(home, {}).allow_private is False
    assert load_settings(home, {"REPLICATOR_ALLOW_PRIVATE": "true"}).allow_private is True
    (home / "replicator.toml").write_text('node_id = "alpha.example"\nallow_private = true\n')
    assert load_settings(home, {}).allow_private is True
    assert load_settings(home, {"REPLICATOR_ALLOW_PRIVATE": "false"}).allow_private is False


def test_without_a_word_everything_is_kept_and_the_pool_is_served(home):
    settings = load_settings(home, {})
    assert (settings.keep_days, settings.keep, settings.disk_bytes_max) == (None, Keep(), None)
    assert settings.policy == Policy()
    assert not settings.quotas


def test_what_is_kept_and_who_is_served_reach_the_rules(home):
    environ = {
        "REPLICATOR_KEEP_POSTS_PER_ORIGIN": "10",
        "REPLICATOR_KEEP_BYTES_PER_ORIGIN": "2000",
        "REPLICATOR_RECONCILE": "off",
        "REPLICATOR_ROSTER": "ask",
        "REPLICATOR_PEER_BYTES_PER_DAY": "5000",
        "REPLICATOR_ORIGIN_POSTS_PER_DAY": "6",
    }
    settings = load_settings(home, environ)
    assert settings.keep == Keep(posts=10, size=2000)
    assert (settings.policy.reconcile, settings.policy.roster) == ("off", "ask")
    assert settings.quotas == Quotas(peer_bytes=5000, origin_posts=6)
