"""An answer to a get is bounded in bytes, in both encodings; what is left out is asked again."""

import pytest

from replicator.limits import PROTOCOL_FLOOR
from replicator.protocol import codec
from replicator.protocol.messages import Get
from tests.support.pool import pair, send

BIG = 40
SIZE = 200_000
"""Bytes of a text; together eight times what a message may have."""


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_what_is_asked_for_at_once_comes_in_answers_that_fit(media_type: str) -> None:
    pool, alpha, beta = pair()
    for number in range(BIG):
        alpha.publish(f"{number}" + "<&" * (SIZE // 2))
        pool.settle()
    wanted = [post.digest for post in alpha.posts()]
    came: set[str] = set()
    rounds = 0
    while len(came) < BIG:
        rest = tuple(name for name in wanted if name not in came)
        tree = codec.request_tree(Get(digests=rest))
        answer = send(beta, alpha, tree, media_type=media_type)
        assert len(answer.body) <= PROTOCOL_FLOOR["message_bytes_max"]
        models = codec.decode(media_type, answer.body, alpha.node.limits)["models"]
        ids = {model["content"]["id"] for model in models}
        fresh = {post.digest for post in alpha.posts() if post.id in ids} - came
        assert fresh, "each answer brings something"
        came |= fresh
        rounds += 1
    assert rounds >= BIG * SIZE // PROTOCOL_FLOOR["message_bytes_max"]
