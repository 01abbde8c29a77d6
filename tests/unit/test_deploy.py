"""The examples under deploy/ name the settings that exist, and all of them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.adapters import redis as redis_adapter
from replicator.cli.flower import flower_program
from replicator.node.ports import Keep
from replicator.settings import Settings, load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"


def variables(*, all_of_them: bool = False) -> dict[str, str]:
    """Return what the example sets, or also what it only shows as a comment."""
    lines = (DEPLOY / "env.example").read_text().splitlines()
    if all_of_them:
        lines = [line.removeprefix("#") for line in lines if not line.startswith("# ")]
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return dict(pairs)


def test_the_example_environment_loads_and_names_every_setting(tmp_path):
    (tmp_path / "replicator.toml").write_text("")
    settings = load_settings(tmp_path, variables(all_of_them=True))
    assert settings.node_id == "alpha.example"
    names = {f"REPLICATOR_{name.upper()}" for name in Settings.__dataclass_fields__}
    assert set(variables(all_of_them=True)) == names - {"REPLICATOR_LIMITS"}


def test_the_example_environment_as_it_stands_removes_no_posts(tmp_path):
    (tmp_path / "replicator.toml").write_text("")
    settings = load_settings(tmp_path, variables())
    assert (settings.keep_days, settings.keep, settings.disk_bytes_max) == (None, Keep(), None)


def test_the_example_environment_as_it_stands_gives_no_passphrase_to_keys_without_one(tmp_path):
    (tmp_path / "replicator.toml").write_text("")
    assert load_settings(tmp_path, variables()).passphrase is None


def test_every_line_of_the_redis_configuration_has_its_reason():
    lines = (DEPLOY / "redis.conf").read_text().splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line and not line.startswith("#"):
            assert before.startswith(("#", "appendonly")), line


EXAMPLES = sorted(
    path
    for path in (*DEPLOY.rglob("*"), *(DEPLOY.parent.glob("*.md")))
    if path.is_file() and path.suffix not in (".pyc",)
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_starts_flower_the_way_that_gives_it_a_password(path):
    for line in path.read_text().splitlines():
        words = line.lower()
        # Celery's own command would open the dashboard to everybody
        assert "celery flower" not in words, line
        assert "-m flower" not in words, line
        assert "unauthenticated" not in words, line
        assert "basic_auth" not in words, line  # a password on a command line


def test_the_dashboard_has_a_password_and_listens_to_this_machine_only(tmp_path):
    (tmp_path / "replicator.toml").write_text('node_id = "alpha.example"\n')
    for environment in ({}, variables(all_of_them=True)):
        settings = replace(load_settings(tmp_path, environment), home=tmp_path)
        program = flower_program(settings)
        user, _, password = program.environment["FLOWER_BASIC_AUTH"].partition(":")
        assert user
        assert len(password) >= 20
        assert password not in " ".join(program.command)
        assert "--address=127.0.0.1" in program.command


def test_the_runbook_says_that_flowers_metrics_are_open():
    text = " ".join((DEPLOY / "README.md").read_text().split())
    assert "`/metrics`: keep it on loopback" in text


def test_the_example_user_of_the_server_is_named_after_one_node_and_may_not_flush():
    line, everybody = [
        line
        for line in (DEPLOY / "redis.conf").read_text().splitlines()
        if line.startswith("#user ")
    ]
    assert everybody == "#user default off"
    words = line.split()
    assert "nocommands" in words
    assert not {"+@all", "allkeys", "~*", "allchannels", "&*", "+flushall", "+keys"} & set(words)
    keys = [word for word in words if word[0] in "~&"]
    assert keys
    assert all(word[1:].startswith("replicator:alpha.example:") for word in keys)


def test_the_servers_user_may_call_whatever_the_scripts_call():
    folder = Path(redis_adapter.__file__).parent / "lua"
    scripts = "".join(script.read_text() for script in folder.glob("*.lua"))
    called = {name.lower() for name in re.findall(r"\('([A-Z]{3,})'", scripts)}
    line = next(
        x for x in (DEPLOY / "redis.conf").read_text().splitlines() if x.startswith("#user")
    )
    allowed = {word.removeprefix("+") for word in line.split() if word.startswith("+")}
    assert len(called) > 20
    assert called - allowed == set()
