"""Commands in a home that is not running: what needs only the database works, secrets stay."""

import json

import pytest
from click.testing import CliRunner

from replicator.cli.root import root
from replicator.cli.status import refused_requests
from replicator.protocol.signing import PrivateKey


class Home:
    """A node's home and commands run in it, in this process."""

    def __init__(self, path):
        self.path = path

    def __call__(self, *arguments, code=0, **options):
        command = ["--home", str(self.path), *map(str, arguments)]
        result = CliRunner().invoke(root, command, **options)
        assert result.exit_code == code, (result.output, result.exception)
        return result


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("REPLICATOR_HOME", "REPLICATOR_NODE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REPLICATOR_ALLOW_PRIVATE", "true")
    home = Home(tmp_path / "home")
    home("init", "node.example")
    return home


def _pool(home):
    """Return the last key of the list: the pool's, where there is one."""
    return json.loads(home("keys", "list", "--json").stdout)[-1]


def test_init_overwrites_nothing(home):
    before = (home.path / "replicator.toml").read_text()
    assert "already" in home("init", "other.example", code=1).stderr
    assert (home.path / "replicator.toml").read_text() == before


def test_init_refuses_what_is_no_node_id(tmp_path):
    result = Home(tmp_path / "home")("init", "Board 1", code=1)
    assert "is not a node id" in result.stderr
    assert not (tmp_path / "home").exists()


def test_init_that_failed_can_be_tried_again(tmp_path, monkeypatch):
    home = Home(tmp_path / "home")
    monkeypatch.setenv("REPLICATOR_COLOUR", "blue")
    assert "colour" in home("init", "node.example", code=1).stderr
    monkeypatch.delenv("REPLICATOR_COLOUR")
    home("init", "node.example")


def test_init_without_its_database_says_how_to_go_on(tmp_path):
    home, file = Home(tmp_path / "home"), tmp_path / "posts.db"
    file.write_text("no database, and longer than the header of one: " * 10)
    said = home("init", "node.example", "--database-url", f"sqlite:///{file}", code=1).stderr
    assert f"replicator --home {home.path} migrate" in said
    file.unlink()
    home("migrate")
    assert json.loads(home("status", "--json").stdout)["posts"] == 0


def test_a_database_url_that_is_none_is_refused_without_its_password(tmp_path):
    url = "postgresql+psycopg://user:hush@host:port/name"
    said = Home(tmp_path / "home")("init", "node.example", "--database-url", url, code=1).stderr
    assert "database_url must be" in said
    assert "hush" not in said


def test_status_says_why_nothing_is_known_of_the_work_in_hand(home, monkeypatch):
    home("peers", "add", "other.example", "--yes")
    assert "no Valkey runs for this node" in home("status").stdout
    monkeypatch.setenv("REPLICATOR_WORK_URL", "redis://:hush@127.0.0.1:1/0")
    shown = home("status").stdout
    assert "Connection refused" in shown
    assert "unknown" in shown.splitlines()[-1]
    assert "hush" not in shown


def test_status_names_whose_requests_were_refused_and_why():
    refusals = [{"code": "stale", "sender": "b.example"}] * 2
    refusals += [{"code": "key-changed", "sender": "c\x1b.example"}]
    assert refused_requests([]) == "0 refused requests"
    told = refused_requests(refusals)
    assert told == "3 refused requests (stale from b.example: 2, key-changed from c .example: 1)"
    assert "100 or more" in refused_requests(refusals[:1] * 100)


def test_what_init_makes_is_for_the_owner_only(home):
    for name in ("", "replicator.toml", "local-token", "keys", "keys/node-1.pem"):
        assert (home.path / name).stat().st_mode & 0o077 == 0, name


def test_private_keys_appear_nowhere(home):
    home("keys", "pool", "new", "--yes")
    shown = home("keys", "list").output + home("keys", "list", "--json").output
    shown += home("keys", "show", _pool(home)["key"]).output
    pems = [file.read_text() for file in (home.path / "keys").glob("*.pem")]
    assert len(pems) == 2
    for pem in pems:
        assert pem.splitlines()[1] not in shown


def test_a_pool_key_travels_protected_from_node_to_node(home, tmp_path):
    home("keys", "pool", "new", "--yes")
    pool = _pool(home)
    file = tmp_path / "pool.pem"
    home("keys", "pool", "export", pool["key"], file, "--passphrase", input="one\none\n")
    assert file.stat().st_mode & 0o077 == 0
    assert "ENCRYPTED" in file.read_text()
    other = Home(tmp_path / "other")
    other("init", "other.example")
    other("keys", "pool", "import", file, "--passphrase", input="two\n", code=1)
    other("keys", "pool", "import", file, "--passphrase", input="one\ny\n")
    assert _pool(other) == pool
    home("keys", "pool", "export", pool["key"], file, code=1)
    home("keys", "pool", "export", pool["fingerprint"][:11], tmp_path / "again.pem")
    home("keys", "pool", "export", "nothing", tmp_path / "none.pem", code=1)


def test_a_file_that_is_no_key_is_refused_in_one_line(home, tmp_path):
    (tmp_path / "no.pem").write_text("no key")
    assert home("keys", "pool", "import", tmp_path / "no.pem", code=1).stderr.count("\n") == 1


def test_publishing_needs_no_running_node_and_may_be_repeated(home, tmp_path):
    file = tmp_path / "posts.jsonl"
    lines = [json.dumps({"id": str(n), "title": "t", "tags": ["a", "a"]}) for n in range(1200)]
    file.write_text("\n".join(lines))
    first = json.loads(home("publish", "--json", file).stdout)
    assert (first["stored"], first["known"], first["refused"]) == (1200, 0, 0)
    assert first["notices"] == {"tags: repeated tags were dropped": 1200}
    again = json.loads(home("publish", "--json", file).stdout)
    assert (again["stored"], again["known"]) == (0, 1200)


def test_refused_lines_are_told_by_number_and_the_others_are_published(home, tmp_path):
    file = tmp_path / "posts.jsonl"
    file.write_text('{"id": "a"}\nnonsense\n\n{"id": "b", "colour": 1}\n{"id": "c"}\n')
    result = home("publish", file, code=1)
    assert "line 2: refused: not JSON" in result.stderr
    assert "line 4: refused: unknown field 'colour'" in result.stderr
    assert "2 stored" in result.stdout
    file.write_text('{"id": "a", "title": "other"}\n')
    assert "line 1: conflict" in home("publish", file, code=1).stderr


def test_a_post_is_signed_for_the_pools_that_were_chosen(home, tmp_path):
    home("keys", "pool", "new", "--yes")
    pool = _pool(home)["key"]
    file = tmp_path / "posts.jsonl"
    for name, options in (("all", ()), ("one", ("--pool", pool)), ("none", ("--no-pool",))):
        file.write_text(json.dumps({"id": name}))
        home("publish", file, *options)
        shown = json.loads(home("posts", "show", "--json", f"node.example/{name}").stdout)
        keys = {signature["key"] for signature in shown["signatures"]}
        assert (pool in keys) == (name != "none")
    home("publish", file, "--pool", "ed25519:" + "A" * 43, code=1)
    home("publish", file, "--pool", pool, "--no-pool", code=2)


def test_what_is_exported_can_be_published_again(home, tmp_path):
    posts = [
        {"id": "root", "published": "1993-02-22T14:22:51.123Z", "text": "a\tb\n", "tags": ["x"]},
        {"id": "reply", "published": "1993-02-23T00:00:00Z", "thread": "root", "tags": ["x", "y"]},
    ]
    file = tmp_path / "posts.jsonl"
    file.write_text("".join(json.dumps(post) + "\n" for post in posts))
    home("publish", file)
    home("posts", "export", tmp_path / "out.jsonl")
    again = json.loads(home("publish", "--json", tmp_path / "out.jsonl").stdout)
    assert (again["known"], again["stored"]) == (2, 0)


def test_posts_are_listed_by_filter(home, tmp_path):
    file = tmp_path / "posts.jsonl"
    file.write_text(
        '{"id": "a", "published": "2020-01-01T00:00:00Z", "tags": ["x"]}\n'
        '{"id": "b", "published": "2021-01-01T00:00:00Z", "thread": "a"}\n'
    )
    home("publish", file)

    def ids(*options):
        return [post["id"] for post in json.loads(home("posts", "list", "--json", *options).stdout)]

    assert ids("--tag", "x") == ids("--until", "2020-06-01") == ["node.example/a"]
    assert ids("--thread", "node.example/a") == ids("--since", "1600000000000")
    assert ids("--node", "node.example", "--limit", "1") == ["node.example/a"]
    assert ids("--except-node", "node.example") == []
    home("posts", "list", "--since", "yesterday", code=2)
    home("posts", "show", "node.example/none", code=1)


def test_text_of_strangers_cannot_steer_the_terminal(home, tmp_path):
    file = tmp_path / "posts.jsonl"
    file.write_text(json.dumps({"id": "a", "title": "t\tx\nline", "text": "a\u0085b\u009bc"}))
    home("publish", file)
    shown = home("posts", "list").stdout + home("posts", "show", "node.example/a").stdout
    assert not set(shown) & {"\u0085", "\u009b", "\t", "\x1b"}


def test_peers_are_added_by_id_listed_and_forgotten(home):
    home("peers", "add", "other.example", "http://127.0.0.1:1", "--yes")
    home("peers", "add", "silent.example", "--yes")
    home("peers", "add", "node.example", code=1)
    home("peers", "add", "http://127.0.0.1:1", "http://127.0.0.1:1", code=2)
    result = home("peers", "add", "127.0.0.1:8470", code=2)
    assert "http:// or https:// is needed" in result.stderr
    known = json.loads(home("peers", "list", "--json").stdout)
    assert [(peer["id"], peer["address"]) for peer in known] == [
        ("other.example", "http://127.0.0.1:1"),
        ("silent.example", None),
    ]
    home("peers", "forget", "silent.example", input="n\n", code=1)
    home("peers", "forget", "silent.example", "--yes")
    home("peers", "show", "silent.example", code=1)


def test_before_a_typed_id_is_a_peer_it_is_said_that_its_first_key_will_be_pinned(home):
    for answer in ("n\n", ""):
        asked = home("peers", "add", "other.example", input=answer, code=1).stderr
        assert "first key that signs a message under this id" in asked.partition("Add it?")[0]
        assert json.loads(home("peers", "list", "--json").stdout) == []
    home("peers", "add", "other.example", input="y\n")
    moved = home("peers", "add", "other.example", "http://127.0.0.1:1")
    assert moved.stderr == "", "it was agreed to before"


@pytest.mark.parametrize("address", ["http://127.0.0.1:8470", "http://2130706433", "http://[::1]"])
def test_a_private_address_is_a_peers_only_where_settings_say_so(home, monkeypatch, address):
    monkeypatch.setenv("REPLICATOR_ALLOW_PRIVATE", "false")
    for wanted in (("other.example", address), (address, "--yes")):
        result = home("peers", "add", *wanted, code=1)
        assert "set allow_private = true in replicator.toml" in result.stderr
    assert json.loads(home("peers", "list", "--json").stdout) == []


def test_a_node_whose_own_address_is_private_may_call_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.delenv("REPLICATOR_ALLOW_PRIVATE", raising=False)
    for number, (address, allowed) in enumerate(
        (
            ("http://127.0.0.1:8470", "allow_private = true"),
            ("http://10.0.0.5:8470", "allow_private = true"),
            ("https://node.example", "# allow_private = false"),
        )
    ):
        home = Home(tmp_path / str(number))
        home("init", "node.example", "--address", address)
        assert allowed in (home.path / "replicator.toml").read_text().splitlines()


def test_trust_shows_both_fingerprints_before_it_pins(home):
    key = PrivateKey.generate().public
    home("peers", "add", "other.example", "--yes")
    result = home("peers", "trust", "other.example", key, input="n\n", code=1)
    assert "then: " in result.stderr
    assert json.loads(home("peers", "show", "other.example", "--json").stdout)["keys"] == []
    home("peers", "trust", "other.example", key, "--yes")
    pinned = json.loads(home("peers", "show", "other.example", "--json").stdout)["keys"]
    assert [(one["key"], one["state"]) for one in pinned] == [(key, "current")]


def test_an_address_where_nobody_answers_is_one_line(home):
    result = home("peers", "add", "http://127.0.0.1:1", "--yes", code=1)
    assert result.stderr.count("\n") == 1


def test_the_doctor_warns_of_what_is_not_there_yet(home):
    findings = json.loads(home("doctor", "--json").stdout)
    levels = {finding["check"]: finding["level"] for finding in findings}
    assert levels["database"] == "ok"
    assert levels["keys"] == levels["work"] == levels["peers"] == "warn"
    assert all(one["advice"] for one in findings if one["level"] != "ok")


def test_the_doctor_fails_on_an_open_key_and_still_checks_the_rest(home):
    (home.path / "keys" / "node-1.pem").chmod(0o644)
    (home.path / "local-token").chmod(0o644)
    findings = json.loads(home("doctor", "--json", code=1).stdout)
    failed = [one["message"] for one in findings if one["level"] == "fail"]
    assert any("node-1.pem" in message for message in failed)
    assert any("local-token" in message for message in failed)
    assert "disk" in {finding["check"] for finding in findings}


def test_the_doctor_names_an_unknown_setting(home):
    with (home.path / "replicator.toml").open("a") as file:
        file.write("\nlog_levle = 'x'\n")
    result = home("doctor", code=1)
    assert "log_level" in result.stdout


def test_migrating_twice_does_nothing_the_second_time(home):
    assert json.loads(home("migrate", "--json").stdout) == {"applied": []}


def test_a_process_without_any_valkey_says_what_to_do(home):
    for command in (("serve",), ("worker", "lanes"), ("beat",), ("flower",)):
        assert "replicator up" in home(*command, code=1).stderr
