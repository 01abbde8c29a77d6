"""Both HTTP surfaces do what their OpenAPI descriptions say, for requests that a machine makes up.

Schemathesis sends to a gateway process what each description allows and what it forbids, and looks
at status, media type and body of every answer, at methods, and at what the token protects.
"""

import json
import re
from collections import Counter

import pytest
from jsonschema_rs import validate

from replicator.gateway import openapi_sync, sync
from replicator.gateway.local_guard import TOKEN_FILE
from replicator.protocol import codec, http_status
from tests.support.gateway import SENDER, call, limits_with, make_node, running
from tests.support.gateway_process import gateway_process
from tests.support.home import make_home
from tests.support.openapi_signed import Signer, description, refused
from tests.support.schemathesis_run import Surface, run

pytest_plugins = ["tests.support.work_fixtures"]

WAIT_SECONDS = 0.2
EXAMPLES = 4
MEMBERS_EXAMPLES = 60
POOL = SENDER.pool_keys[0].public
# one sender sends everything here, and it is not the flood that is looked at
LIMITS = {
    "local_wait_seconds": WAIT_SECONDS,
    "address_requests_per_second": 100_000,
    "address_burst_requests_max": 100_000,
    "peer_requests_per_second": 100_000,
    "peer_burst_requests_max": 100_000,
}


@pytest.fixture(scope="module")
def process(tmp_path_factory, valkey_server):
    folder = tmp_path_factory.mktemp("node")
    settings = make_home(folder / "home", "board.example", valkey_server.url, limits=LIMITS)
    with gateway_process(settings, folder / "log") as it:
        yield it


def generated(printed: str) -> int:
    """Return how many requests a run made up."""
    found = re.search(r"(\d+) generated", printed)
    return int(found.group(1)) if found else 0


def test_the_local_api_does_what_its_description_says(process, tmp_path):
    base = f"http://127.0.0.1:{process.local_port}"
    token = (process.settings.home / TOKEN_FILE).read_text().strip()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    # what the description's examples name
    body = b'{"id": "welcome", "text": "x"}'
    assert call(process.local_port, "POST", "/local/v1/posts", headers, body).status == 201
    # 404 and 410: no description knows which posts and cursors there are; 409, 422: which ids
    surface = Surface(f"{base}/local/v1/openapi.json", base, (404, 409, 410, 422), token)
    status, printed = run(surface, tmp_path, examples=EXAMPLES)
    assert status == 0, printed
    assert generated(printed) > 300, printed
    assert process.child.poll() is None


def test_the_local_description_has_the_bounds_of_the_node_that_serves_it(tmp_path):
    limits = limits_with(local_wait_seconds=7.5, post_tags_max=3)
    with running(make_node(tmp_path, limits)) as it:
        tree = call(it.local_port, "GET", "/local/v1/openapi.json").tree
        wait = tree["paths"]["/local/v1/changes"]["get"]["parameters"][-1]["schema"]["maximum"]
        assert it.local("GET", f"/local/v1/changes?wait={wait + 1}").status == 400
        tags = tree["components"]["schemas"]["Draft"]["properties"]["tags"]["maxItems"]
        more = {"text": "x", "tags": [str(number) for number in range(tags + 1)]}
        assert it.local("POST", "/local/v1/posts", more).status == 422
    assert (wait, tags) == (7, 3)


def test_the_listener_for_peers_does_what_its_description_says(process, tmp_path):
    base = f"http://127.0.0.1:{process.sync_port}"
    description = tmp_path / "sync.json"
    description.write_text(json.dumps(openapi_sync.DESCRIPTION))
    # no request is signed here: each is refused before its members are looked at
    status, printed = run(Surface(str(description), base, (401, 413)), tmp_path, examples=EXAMPLES)
    assert status == 0, printed
    assert generated(printed) >= 80, printed
    assert process.child.poll() is None


def test_what_a_member_asks_is_answered_as_the_description_says(tmp_path):
    notes = tmp_path / "answers"
    with running(make_node(tmp_path, limits_with(**LIMITS))) as it, it.worker():
        signer = Signer.of(SENDER, it.node.identity.node_id, notes).write(tmp_path / "signer.json")
        described = tmp_path / "member.json"
        described.write_text(json.dumps(description(POOL)))
        base = f"http://127.0.0.1:{it.sync_port}"
        # 410: no description knows which cursors there are
        surface = Surface(str(described), base, (410,), signer=signer)
        status, printed = run(surface, tmp_path, examples=MEMBERS_EXAMPLES)
    assert status == 0, printed
    heard = Counter(notes.read_text().splitlines())
    assert all(line.endswith(" application/json signed") for line in heard), heard
    assert heard["200 application/json signed"] > MEMBERS_EXAMPLES // 4, heard
    assert heard["400 application/json signed"] > MEMBERS_EXAMPLES // 10, heard


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_what_a_member_is_refused_is_described_for_each_status(tmp_path, media_type):
    asked = [(status, tree) for status, trees in refused(POOL).items() for tree in trees]
    with running(make_node(tmp_path, limits_with(**LIMITS))) as it, it.worker():
        for status, tree in asked:
            got = it.post(*it.signed(tree, media_type))
            assert (got.status, got.is_signed) == (status, True), tree
            schema = openapi_sync.DESCRIPTION["paths"]["/v1/sync"]["post"]["responses"]
            assert media_type in schema[str(status)]["content"]
            # a document in XML is a string to OpenAPI; it holds what the one in JSON does
            told = schema[str(status)]["content"][codec.JSON]["schema"]
            components = openapi_sync.DESCRIPTION["components"]
            validate({**told, "components": components}, got.tree)


def test_the_description_for_peers_names_every_path_and_method():
    described = {
        path: tuple(method.upper() for method in item)
        for path, item in openapi_sync.DESCRIPTION["paths"].items()
    }
    assert described == sync._METHODS


def test_the_description_for_peers_names_every_status_and_what_it_refers_to():
    responses = openapi_sync.DESCRIPTION["paths"]["/v1/sync"]["post"]["responses"]
    known = {200, http_status.NOT_SUPPORTED, *http_status.STATUS.values()}
    assert {int(status) for status in responses} == known
    referred = re.findall(r"#/components/schemas/(\w+)", json.dumps(openapi_sync.DESCRIPTION))
    assert set(referred) == set(openapi_sync.DESCRIPTION["components"]["schemas"])


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_an_unsigned_request_gets_a_document_in_its_own_type(process, media_type):
    got = call(process.sync_port, "POST", "/v1/sync", {"content-type": media_type}, b"?")
    assert (got.status, got.headers["content-type"]) == (401, media_type)
    assert not got.is_signed
