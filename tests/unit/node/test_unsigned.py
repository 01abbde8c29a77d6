"""A request without a signature is refused whatever the policy, with an unsigned answer."""

import pytest

from replicator.adapters.memory.transport import LoopTransport
from replicator.node.conversation import SYNC_PATH
from replicator.protocol import codec
from replicator.protocol.messages import Pull
from replicator.rules.policy import Policy
from tests.support.pool import Pool, read


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML], ids=["json", "xml"])
@pytest.mark.parametrize(
    "policy", [Policy(), Policy("peers", "peers", "peers"), Policy("open", "open", "peers")]
)
def test_an_unsigned_request_is_refused_whatever_the_policy(
    policy: Policy, media_type: str
) -> None:
    beta = Pool().add("beta", policy=policy)
    beta.publish("for those who sign")
    before = beta.state()
    body = codec.encode(media_type, codec.request_tree(Pull()))
    transport = LoopTransport({beta.address: beta.node})
    url = beta.address + SYNC_PATH
    answer = transport.post(url, {"content-type": media_type}, body, seconds=1, bytes_max=1 << 20)
    assert (answer.status, read(answer)["code"]) == (401, "bad-signature")
    assert "signature" not in answer.headers
    assert beta.state() == before
