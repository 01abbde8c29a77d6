"""The examples under deploy/ name the settings that exist, and all of them."""

from pathlib import Path

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


def test_every_line_of_the_redis_configuration_has_its_reason():
    lines = (DEPLOY / "redis.conf").read_text().splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line and not line.startswith("#"):
            assert before.startswith(("#", "appendonly")), line
