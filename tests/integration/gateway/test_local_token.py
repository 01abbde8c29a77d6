"""The local API's token: every path of its own description asks for it, but that description."""

import pytest

from tests.support.gateway import Running, call, make_node, running

DESCRIPTION = "/local/v1/openapi.json"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with running(make_node(tmp_path_factory.mktemp("node"))) as it:
        yield it


def described(gateway: Running) -> dict[str, dict[str, object]]:
    return call(gateway.local_port, "GET", DESCRIPTION).tree["paths"]


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic b3A6cHc=", "x"])
def test_every_described_path_asks_for_the_token(gateway, authorization):
    paths = described(gateway)
    assert len(paths) >= 5
    headers = {} if authorization is None else {"authorization": authorization}
    for path, methods in paths.items():
        # the answer must not tell what exists: made-up paths and methods are answered alike
        filled = path.replace("{node}", "a.example").replace("{id}", "x")
        for method in (*(name.upper() for name in methods if name != "parameters"), "DELETE"):
            if path == DESCRIPTION:
                continue
            got = call(gateway.local_port, method, filled, headers, b"{")
            assert got.status == 401, (method, path)


def test_the_description_is_the_same_for_every_node(gateway, tmp_path):
    first = call(gateway.local_port, "GET", DESCRIPTION).body
    with running(make_node(tmp_path)) as other:
        assert call(other.local_port, "GET", DESCRIPTION).body == first
    assert gateway.node.identity.node_id.encode() not in first
    for key in (*gateway.node.identity.node_keys, *gateway.node.identity.pool_keys):
        assert key.public.encode() not in first
