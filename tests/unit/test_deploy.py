"""The examples under deploy/ name the settings that exist, and all of them."""

from pathlib import Path

from replicator.settings import Settings, load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"


def variables() -> dict[str, str]:
    lines = (DEPLOY / "env.example").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return dict(pairs)


def test_the_example_environment_loads_and_names_every_setting(tmp_path):
    (tmp_path / "replicator.toml").write_text("")
    settings = load_settings(tmp_path, variables())
    assert settings.node_id == "alpha.example"
    names = {f"REPLICATOR_{name.upper()}" for name in Settings.__dataclass_fields__}
    assert set(variables()) == names - {"REPLICATOR_LIMITS"}


def test_every_line_of_the_redis_configuration_has_its_reason():
    lines = (DEPLOY / "redis.conf").read_text().splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line and not line.startswith("#"):
            assert before.startswith(("#", "appendonly")), line
