"""`replicator policy` shows the rules as they are asked, with what is set."""

from replicator.rules.rulebook import all_rules
from tests.support.cli_home import CliHome


def home_with(folder, text=""):
    home = CliHome(folder / "home")
    home("init", "node.example")
    path = home.path / "replicator.toml"
    path.write_text(text + path.read_text())
    return home


def test_every_rule_is_shown_in_its_order_with_what_is_set(tmp_path):
    home = home_with(tmp_path, 'put = "peers"\npeer_posts_per_day = 12_345\n')
    rows = home.json("policy")
    assert [row["rule"] for row in rows] == [rule.name for rule in all_rules()]
    assert [row["order"] for row in rows] == list(range(1, len(rows) + 1))
    by_name = {row["rule"]: row for row in rows}
    assert by_name["giving"]["settings"] == {"put": "peers"}
    assert by_name["quota"]["settings"]["peer_posts_per_day"] == 12_345
    assert by_name["future"]["settings"] == {"limits.future_seconds_max": 86_400}


def test_people_read_a_table_and_the_sentences_where_they_ask(tmp_path):
    home = home_with(tmp_path, "origin_bytes_per_day = 50_000\n")
    lines = home("policy").stdout.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert any("origin_bytes_per_day = 50,000" in line for line in lines)
    assert any("peer_posts_per_day = no bound" in line for line in lines)
    explained = home("policy", "--explain").stdout
    assert all(rule.says in explained for rule in all_rules())


def test_secrets_are_no_part_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("REPLICATOR_KEY_PASSPHRASE", "hush")
    monkeypatch.setenv("REPLICATOR_WORK_URL", "redis://:hush@127.0.0.1:1/0")
    home = home_with(tmp_path)
    assert "hush" not in home("policy", "--explain").stdout + home("policy", "--json").stdout
