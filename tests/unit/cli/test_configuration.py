"""A new node's settings file names every setting, and each line of it can be used as it stands."""

import re
import tomllib
from dataclasses import asdict

from replicator.cli.configuration import configuration
from replicator.limits import Limits
from replicator.settings import _CHOICES, _TYPES, load_settings

_COMMENTED = re.compile(r"^# (\w+ = .+|\[limits\])$", re.MULTILINE)


def test_the_file_of_a_new_node_loads(tmp_path):
    text = configuration("node.example", {"address": "https://node.example"})
    (tmp_path / "replicator.toml").write_text(text)
    settings = load_settings(tmp_path, {})
    assert (settings.node_id, settings.address) == ("node.example", "https://node.example")
    assert settings.limits == Limits()


def test_every_setting_and_limit_is_there_and_right_when_its_comment_is_taken_away(tmp_path):
    text = _COMMENTED.sub(r"\1", configuration("node.example", {}))
    table = tomllib.loads(text)
    assert table.pop("limits") == asdict(Limits())
    assert set(table) == set(_TYPES)
    (tmp_path / "replicator.toml").write_text(text)
    load_settings(tmp_path, {})


def test_a_value_with_quotes_and_line_ends_stays_one_value():
    odd = 'a"b\\c\nd = 1\x7f'
    assert tomllib.loads(configuration("n", {"address": odd}))["address"] == odd


def test_every_word_that_a_setting_may_have_is_explained():
    text = configuration("node.example", {})
    for name, words in _CHOICES.items():
        if name == "get":  # explained with pull
            continue
        (comment,) = re.findall(rf"\n\n((?:# .*\n)+?)# {name} = ", text)
        assert set(words) <= set(re.findall(r"\w+", comment)), name
