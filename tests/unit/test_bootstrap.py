"""A node of real parts is what its settings say, and its home remembers whose it is."""

import pytest

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.sql.migrate import migrate
from replicator.bootstrap import close_node, open_node
from replicator.errors import ConfigurationError
from replicator.node.ports import Keep
from replicator.settings import load_settings

WORK = {"REPLICATOR_WORK_URL": "redis://127.0.0.1:1/0"}


@pytest.fixture
def home(tmp_path):
    (tmp_path / "replicator.toml").write_text('node_id = "alpha.example"\n')
    KeyFiles(tmp_path / "keys").create_node_key()
    return tmp_path


def test_a_home_that_was_opened_keeps_its_node_id(home):
    for _ in range(2):
        close_node(open_node(load_settings(home, WORK)))
    for wrong in ({"REPLICATOR_NODE_ID": "beta.example"}, {}):
        if not wrong:
            (home / "replicator.toml").write_text('node_id = "beta.example"\n')
        with pytest.raises(ConfigurationError, match=r"belongs to 'alpha\.example'.*another home"):
            load_settings(home, wrong)
    (home / "replicator.toml").write_text('node_id = "alpha.example"\n')
    assert load_settings(home, {}).node_id == "alpha.example"


def test_a_node_is_opened_with_what_its_settings_keep(home):
    environ = {
        **WORK,
        "REPLICATOR_KEEP_DAYS": "30",
        "REPLICATOR_KEEP_POSTS_PER_ORIGIN": "10",
        "REPLICATOR_ROSTER": "off",
    }
    node = open_node(load_settings(home, environ))
    close_node(node)
    assert (node.keep_days, node.keep, node.policy.roster) == (30, Keep(posts=10), "off")


def test_the_database_of_a_node_is_bounded_as_its_settings_say(home):
    migrate(load_settings(home, WORK).database_url)
    for bound, full in (({}, False), ({"REPLICATOR_DISK_BYTES_MAX": "1"}, True)):
        node = open_node(load_settings(home, {**WORK, **bound}))
        assert node.store.is_full() is full
        close_node(node)
