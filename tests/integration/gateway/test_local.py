"""The local API over real sockets: publish, read, and follow without losing or doubling a post."""

import json
import re
import socket
import threading

import pytest

from replicator.gateway.local_query import LISTS, TIMES
from replicator.gateway.openapi import describe
from replicator.limits import Limits
from replicator.node.publish import publish, read_draft
from tests.support.gateway import TOKEN, call, limits_with, make_node, running
from tests.support.waiting import eventually

POSTS, CHANGES = "/local/v1/posts", "/local/v1/changes"
DESCRIPTION = describe(Limits())


@pytest.fixture
def gateway(tmp_path):
    with running(make_node(tmp_path)) as it:
        yield it


def publish_aside(node, *texts: str) -> None:
    """Publish as another process of the node would: past the gateway."""
    publish(node, [read_draft(node.identity.node_id, {"text": text}) for text in texts])


def error_of(got) -> dict:
    error = json.loads(got.body)["error"]
    assert set(error) <= {"code", "message", "field"}
    return error


def texts(items) -> list[str]:
    return [item["content"]["text"] for item in items]


def test_a_post_is_stored_and_read_again(gateway):
    got = gateway.local("POST", POSTS, {"id": "1", "title": "t", "text": "x", "tags": ["a"]})
    assert got.status == 201
    assert got.tree["status"] == "stored"
    assert got.tree["id"] == "here.example/1"
    read = gateway.local("GET", f"{POSTS}/here.example/1")
    assert read.status == 200
    assert read.tree["digest"] == got.tree["digest"]
    assert read.tree["content"]["title"] == "t"
    assert len(read.tree["signatures"]) == 2


def test_publishing_with_an_id_is_idempotent_and_other_fields_are_a_conflict(gateway):
    draft = {"id": "1", "text": "x"}
    first = gateway.local("POST", POSTS, draft)
    again = gateway.local("POST", POSTS, draft)
    other = gateway.local("POST", POSTS, {**draft, "text": "y"})
    assert (first.status, again.status, other.status) == (201, 200, 409)
    assert again.tree["digest"] == first.tree["digest"]
    assert error_of(other)["code"] == "conflict"


def test_a_batch_tells_the_result_of_every_post_and_stores_the_good_ones(gateway):
    drafts = [{"text": "a"}, {"published": "soon"}, 7, {"text": "\0"}]
    drafts.append({"text": "b", "tags": ["t", "t"]})
    got = gateway.local("POST", POSTS, {"posts": drafts})
    assert got.status == 200
    results = got.tree["results"]
    assert [result["status"] for result in results] == ["stored", *["refused"] * 3, "stored"]
    assert results[1]["field"] == "published"
    assert results[4]["notices"]
    assert texts(gateway.local("GET", POSTS).tree["posts"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"{", 400, "malformed", None),
        (b"[]", 400, "malformed", None),
        (b'{"text": "a", "text": "b"}', 400, "malformed", None),
        (b'{"posts": {}}', 400, "malformed", "posts"),
        (b'{"posts": [], "text": "a"}', 400, "malformed", "posts"),
        (b'{"posts": [' + b"{}," * 500 + b"{}]}", 413, "too-large", "posts"),
        (b'{"published": "soon"}', 422, "refused", "published"),
        (b'{"text": "\\u0000"}', 400, "malformed", None),
        (b'{"surprise": 1}', 422, "refused", None),
        (b'{"id": "other.example/1"}', 422, "refused", "id"),
        (b"[" * 100_000, 400, "malformed", None),
        (b'{"posts": [' + b"[" * 100_000, 400, "malformed", None),
        (b'{"text": "\xff"}', 400, "malformed", None),
        (b"7", 400, "malformed", None),
    ],
)
def test_a_bad_body_is_refused_with_its_place_and_nothing_is_stored(
    gateway, body, status, code, field
):
    got = gateway.local("POST", POSTS, body)
    assert (got.status, error_of(got)["code"]) == (status, code)
    assert error_of(got).get("field") == field
    assert gateway.local("GET", POSTS).tree["posts"] == []


def test_only_json_is_taken(gateway):
    got = gateway.local("POST", POSTS, b"{}", {"content-type": "text/plain"})
    assert (got.status, error_of(got)["code"]) == (415, "unsupported-media-type")


def test_a_body_past_the_bound_is_refused(gateway):
    got = gateway.local("POST", POSTS, b" " * (4 * 1024 * 1024 + 1))
    assert (got.status, error_of(got)["code"]) == (413, "too-large")


def test_posts_are_paged_by_cursor_and_filtered(gateway):
    drafts = [{"text": str(n), "tags": ["even" if n % 2 == 0 else "odd"]} for n in range(10)]
    gateway.local("POST", POSTS, {"posts": drafts})
    first = gateway.local("GET", f"{POSTS}?limit=3&tags=odd").tree
    assert texts(first["posts"]) == ["1", "3", "5"]
    assert first["more"]
    rest = gateway.local("GET", f"{POSTS}?tags=odd&after={first['cursor']}").tree
    assert texts(rest["posts"]) == ["7", "9"]
    assert not rest["more"]
    assert gateway.local("GET", f"{POSTS}?nodes=other.example").tree["posts"] == []


@pytest.mark.parametrize("path", [POSTS, CHANGES])
def test_a_cursor_of_another_database_is_told(gateway, path):
    got = gateway.local("GET", f"{path}?after=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    assert (got.status, error_of(got)["code"]) == (410, "bad-cursor")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{POSTS}/here.example/unknown", 404),
        (f"{POSTS}/here.example/a%2Fb", 404),
        (f"{POSTS}/Here/1", 400),
        (f"{POSTS}?tagz=a", 400),
        (f"{CHANGES}?wait=1000", 400),
        ("/local/v1/nothing", 404),
        ("/v1/sync", 404),
    ],
)
def test_what_is_not_there_is_told(gateway, path, status):
    got = gateway.local("GET", path)
    assert got.status == status
    assert error_of(got)["code"] in {"not-found", "bad-parameter"}


def test_another_method_is_told(gateway):
    got = gateway.local("DELETE", POSTS)
    assert (got.status, error_of(got)["code"]) == (405, "method-not-allowed")
    assert set(got.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_without_the_token_nothing_is_told(gateway):
    for headers in ({}, {"authorization": f"Bearer {TOKEN}x"}):
        for path in (POSTS, CHANGES, "/local/v1/status", "/local/v1/nothing"):
            got = call(gateway.local_port, "GET", path, headers)
            assert (got.status, error_of(got)["code"]) == (401, "unauthorized")
            assert got.headers["www-authenticate"] == "Bearer"


def test_another_host_name_is_refused_even_with_the_token(gateway):
    got = gateway.local("GET", "/local/v1/status", headers={"host": "rebound.example"})
    assert (got.status, error_of(got)["code"]) == (403, "bad-host")


def test_status_counts_and_gives_the_end_of_the_log(gateway):
    publish_aside(gateway.node, "a", "b")
    status = gateway.local("GET", "/local/v1/status").tree
    assert (status["node"], status["posts"], status["queued"]) == ("here.example", 2, 0)
    after = gateway.local("GET", f"{CHANGES}?after={status['cursor']}").tree
    assert after["changes"] == []


def test_changes_that_are_there_are_given_at_once(gateway):
    publish_aside(gateway.node, "a")
    got = gateway.local("GET", f"{CHANGES}?wait=50").tree
    assert texts(got["changes"]) == ["a"]
    assert not got["more"]


def test_a_wait_without_changes_ends_with_its_time(gateway):
    got = gateway.local("GET", f"{CHANGES}?wait=1")
    assert (got.status, got.tree["changes"]) == (200, [])


@pytest.mark.parametrize("aside", [True, False])
def test_a_waiting_follower_hears_of_a_change_soon(gateway, aside):
    answers = []
    cursor = gateway.local("GET", CHANGES).tree["cursor"]
    path = f"{CHANGES}?wait=50&after={cursor}"
    follower = threading.Thread(target=lambda: answers.append(gateway.local("GET", path).tree))
    follower.start()
    eventually(lambda: len(gateway.gateway._watch) == 1, "the follower waits")
    if aside:
        publish_aside(gateway.node, "news")
    else:
        gateway.local("POST", POSTS, {"text": "news"})
    follower.join(2.0)
    assert texts(answers[0]["changes"]) == ["news"]
    assert len(gateway.gateway._watch) == 0


def test_a_filtered_follower_waits_past_what_it_does_not_want(gateway):
    answers = []
    path = f"{CHANGES}?wait=50&tags=wanted"
    follower = threading.Thread(target=lambda: answers.append(gateway.local("GET", path).tree))
    follower.start()
    eventually(lambda: len(gateway.gateway._watch) == 1, "the follower waits")
    gateway.local("POST", POSTS, {"text": "no", "tags": ["other"]})
    gateway.local("POST", POSTS, {"text": "yes", "tags": ["wanted"]})
    follower.join(5.0)
    assert texts(answers[0]["changes"]) == ["yes"]


def test_a_follower_that_leaves_frees_its_place(gateway):
    request = f"GET {CHANGES}?wait=50 HTTP/1.1\r\nhost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", gateway.local_port)) as client:
        client.sendall(f"{request}authorization: Bearer {TOKEN}\r\n\r\n".encode())
        eventually(lambda: len(gateway.gateway._watch) == 1, "the follower waits")
    eventually(lambda: len(gateway.gateway._watch) == 0, "it is forgotten")


def test_more_open_requests_than_allowed_are_told_to_wait(tmp_path):
    with running(make_node(tmp_path, limits_with(local_requests_max=1))) as it:
        request = f"GET {CHANGES}?wait=50 HTTP/1.1\r\nhost: localhost\r\n"
        with socket.create_connection(("127.0.0.1", it.local_port)) as client:
            client.sendall(f"{request}authorization: Bearer {TOKEN}\r\n\r\n".encode())
            eventually(lambda: len(it.gateway._watch) == 1, "the follower waits")
            got = it.local("GET", "/local/v1/status")
        assert (got.status, got.headers["retry-after"]) == (503, "1")


def test_a_stopping_gateway_answers_its_followers(tmp_path):
    with running(make_node(tmp_path)) as it:
        answers = []
        path = f"{CHANGES}?wait=50"
        follower = threading.Thread(target=lambda: answers.append(it.local("GET", path)))
        follower.start()
        eventually(lambda: len(it.gateway._watch) == 1, "the follower waits")
        it.stop()
        follower.join(5.0)
        assert (answers[0].status, answers[0].tree["changes"]) == (200, [])


def test_a_follower_across_restarts_sees_each_post_exactly_once(tmp_path):
    seen: list[str] = []
    cursor = ""
    for life in range(3):
        with running(make_node(tmp_path)) as it:
            halt = threading.Event()

            def write(node=it.node, life=life, halt=halt) -> None:
                for number in range(20):
                    publish_aside(node, *(f"{life}.{number}.{n}" for n in range(5)))
                halt.set()

            writer = threading.Thread(target=write)
            writer.start()
            more = True
            # the lives before the last are left in the middle of the stream
            while not halt.is_set() or (more and life == 2):
                after = f"&after={cursor}" if cursor else ""
                page = it.local("GET", f"{CHANGES}?wait=1&limit=7{after}").tree
                seen += texts(page["changes"])
                cursor = page["cursor"]
                more = bool(page["changes"])
            writer.join()
    expected = [f"{life}.{a}.{b}" for life in range(3) for a in range(20) for b in range(5)]
    assert seen == expected


def test_the_description_names_every_route_with_its_methods(gateway):
    described = {
        (path, method.upper()) for path, item in DESCRIPTION["paths"].items() for method in item
    }
    local = gateway.gateway._local
    routed = {
        (route.path, method)
        for route in local.routes
        for method in route.methods
        if method != "HEAD"
    }
    assert described == routed


def test_the_description_names_every_parameter():
    for path, extra in ((POSTS, set()), (CHANGES, {"wait"})):
        parameters = DESCRIPTION["paths"][path]["get"]["parameters"]
        names = {parameter["name"] for parameter in parameters}
        assert names == {*LISTS, *TIMES, "after", "limit"} | extra


def test_the_description_refers_only_to_what_it_defines(gateway):
    got = call(gateway.local_port, "GET", "/local/v1/openapi.json")
    assert got.status == 200
    assert got.tree == json.loads(json.dumps(DESCRIPTION))
    referred = set(re.findall(r"#/components/schemas/(\w+)", got.body.decode()))
    assert referred == set(DESCRIPTION["components"]["schemas"])


def test_an_answer_has_the_members_that_the_description_promises(gateway):
    schemas = DESCRIPTION["components"]["schemas"]
    gateway.local("POST", POSTS, {"text": "x"})
    posts = gateway.local("GET", POSTS).tree
    assert set(posts) == set(schemas["Posts"]["required"])
    assert set(posts["posts"][0]) == set(schemas["Post"]["required"])
    assert set(posts["posts"][0]["content"]) == set(schemas["Content"]["required"])
    assert set(gateway.local("GET", CHANGES).tree) == set(schemas["Changes"]["required"])
    assert set(gateway.local("GET", "/local/v1/status").tree) == set(schemas["Status"]["required"])
