"""The raw verbs against a live node, by our own client and by curl, in both encodings."""

import json
import shutil
import subprocess

import pytest
from lxml import etree

from tests.support.cli_home import CliHome
from tests.support.live_node import LiveNode

pytestmark = pytest.mark.timeout(300)
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Give a live node with thirty posts, and a member of its pool that only asks."""
    folder = tmp_path_factory.mktemp("verbs")
    with LiveNode(folder / "live", "live.example") as live:
        operator = CliHome(live.home)
        operator("keys", "pool", "new", "--yes")
        pool = next(key["key"] for key in operator.json("keys", "list") if key["kind"] == "pool")
        operator("keys", "pool", "export", pool, folder / "pool.pem")
        asker = CliHome(LiveNode(folder / "asker", "asker.example").home)
        asker("keys", "pool", "import", folder / "pool.pem", "--yes")
        file = folder / "posts.jsonl"
        posts = [{"id": f"p{n}", "tags": ["odd" if n % 2 else "even"]} for n in range(30)]
        file.write_text("".join(json.dumps(post) + "\n" for post in posts))
        operator("publish", file)
        live.start()
        asker("peers", "add", live.address, "--yes")
        yield live, asker


def _curl(command):
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout


def _facts_of_json(text):
    answer = json.loads(text)
    refs = [
        (ref["id"], ref["digest"], ref["published"], ref["size"]) for ref in answer.get("refs", ())
    ]
    return answer["status"], refs, answer.get("cursor"), answer.get("more", False)


def _facts_of_xml(text):
    root = etree.fromstring(text.strip().encode())
    refs = [
        (
            item.findtext("id"),
            item.findtext("digest"),
            int(item.findtext("published")),
            int(item.findtext("size")),
        )
        for item in root.iterfind("refs/item")
    ]
    more = root.findtext("more") == "true"
    return root.findtext("status"), refs, root.findtext("cursor"), more


def test_a_pull_gives_the_same_in_both_encodings(nodes):
    _, asker = nodes
    arguments = ("pull", "live.example", "--tag", "odd", "--limit", "10")
    facts = _facts_of_json(asker(*arguments).stdout)
    assert facts == _facts_of_xml(asker(*arguments, "--format", "xml").stdout)
    status, refs, cursor, more = facts
    assert (status, len(refs), more) == ("success", 10, True)
    rest = _facts_of_json(asker("pull", "live.example", "--tag", "odd", "--after", cursor).stdout)
    assert len(rest[1]) == 5


@needs_curl
def test_curl_gets_the_same_refs_and_cursor_in_both_encodings(nodes):
    _, asker = nodes
    arguments = ("pull", "live.example", "--tag", "even", "--limit", "7", "--as-curl")
    facts = _facts_of_json(_curl(asker(*arguments).stdout))
    assert facts == _facts_of_xml(_curl(asker(*arguments, "--format", "xml").stdout))
    assert facts[0] == "success"
    assert len(facts[1]) == 7


@needs_curl
def test_a_curl_command_serves_once(nodes):
    _, asker = nodes
    command = asker("pull", "live.example", "--as-curl").stdout
    assert json.loads(_curl(command))["status"] == "success"
    assert json.loads(_curl(command))["code"] == "replayed"


@needs_curl
def test_an_unsigned_request_is_refused(nodes):
    live, _ = nodes
    body = '{"type":"pull","protocol":"1.0","model":{"name":"post","version":"1.0"}}'
    command = f"curl -s -H 'content-type: application/json' -d '{body}' {live.address}/v1/sync"
    assert json.loads(_curl(command))["status"] == "error"


def test_get_gives_a_post_by_id_and_by_digest_and_names_what_is_missing(nodes):
    live, asker = nodes
    shown = CliHome(live.home).json("posts", "show", "live.example/p3")
    names = ("live.example/p4", shown["digest"], "live.example/none")
    answer = json.loads(asker("get", "live.example", *names).stdout)
    ids = {model["content"]["id"] for model in answer["models"]}
    assert ids == {"live.example/p3", "live.example/p4"}
    assert [item["id"] for item in answer["missing"]] == ["live.example/none"]


@pytest.mark.parametrize("form", ["json", "xml"])
def test_put_of_models_stores_them_there(nodes, tmp_path, form):
    live, asker = nodes
    (tmp_path / "one.jsonl").write_text(json.dumps({"id": f"by-{form}", "text": "<&>\t é\n"}))
    asker("publish", tmp_path / "one.jsonl")
    name = f"asker.example/by-{form}"
    answer = asker("put", "live.example", "--models", name, "--format", form).stdout
    assert "stored" in answer
    assert "known" in asker("put", "live.example", "--models", name, "--format", form).stdout
    shown = CliHome(live.home).json("posts", "show", name)
    assert shown["content"]["text"] == "<&>\t é\n"


def test_nobody_is_asked_who_is_no_peer(nodes):
    _, asker = nodes
    asker("pull", "nobody.example", code=1)
    asker("pull", "live.example", "--node", "a", "--except-node", "b", code=2)
