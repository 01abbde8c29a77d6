"""Key announcements: what is signed, and which of them never count."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.errors import Malformed
from replicator.limits import Limits
from replicator.protocol import announcement, codec, node_document
from replicator.protocol.announcement import AnnouncedKey, Announcement
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Model
from replicator.protocol.signing import PrivateKey, b64url

LIMITS = Limits()
NEW, OLD, LOST = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
ALPHA = NodeId("alpha.example")
SAID = Announcement(
    id=ALPHA,
    serial=3,
    keys=(
        AnnouncedKey(NEW.public, "current"),
        AnnouncedKey(OLD.public, "current", 1_700_000_000_000),
        AnnouncedKey(LOST.public, "revoked"),
    ),
)
PLAIN: dict[str, Any] = msgspec.to_builtins(SAID)


def signed(content: dict[str, Any], *keys: PrivateKey) -> dict[str, Any]:
    """Sign as another implementation would: the label, then the sorted announcement."""
    data = b"replicator:keys:1.0\n" + msgspec.json.encode(content, order="sorted")
    signatures = [{"key": key.public, "value": b64url(key.sign(data))} for key in keys]
    return {"announcement": content, "signatures": signatures}


def entry(key: PrivateKey, state: str = "current", **more: Any) -> dict[str, Any]:
    return {"key": key.public, "state": state, **more}


def saying(*keys: dict[str, Any]) -> dict[str, Any]:
    return {"id": ALPHA, "serial": 1, "node_keys": list(keys)}


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_both_encodings_carry_the_same_announcement_within_the_node_document(media_type):
    tree = announcement.sign(SAID, (NEW, OLD))
    document = node_document.NodeDocument(
        id=ALPHA,
        keys=(NEW.public, OLD.public),
        pools=(),
        protocols=("1.0",),
        models=(Model(),),
        types=("pull", "get", "put"),
        features=(),
        limits=node_document.limits_of(LIMITS),
        addresses=(),
        time=1,
        announcement=tree,
    )
    body = codec.encode(media_type, node_document.make(document, (NEW, OLD)))
    read = node_document.read(media_type, body, LIMITS)
    assert read == document
    assert announcement.of_document(read, LIMITS) == (SAID, {NEW.public, OLD.public})


def test_the_label_and_the_sorted_announcement_are_what_is_signed():
    read = announcement.read_tree(signed(PLAIN, NEW, OLD), LIMITS)
    assert read == (SAID, {NEW.public, OLD.public})


def test_a_key_that_is_no_longer_current_may_sign_so_that_those_who_know_only_it_can_follow():
    _, signers = announcement.read_tree(announcement.sign(SAID, (NEW, OLD, LOST)), LIMITS)
    assert signers == {NEW.public, OLD.public, LOST.public}


def test_a_member_of_a_later_version_is_ignored_but_covered():
    tree = signed(PLAIN | {"later": [1, {"z": "a"}]}, NEW, OLD)
    assert announcement.read_tree(tree, LIMITS)[0] == SAID
    tree["announcement"]["later"] = [2]
    with pytest.raises(Malformed, match="verify"):
        announcement.read_tree(tree, LIMITS)


@pytest.mark.parametrize("missing", [NEW, OLD])
def test_every_current_key_must_sign(missing):
    rest = [key for key in (NEW, OLD) if key is not missing]
    with pytest.raises(ValueError, match="did not sign"):
        announcement.sign(SAID, rest)
    with pytest.raises(Malformed, match="did not sign"):
        announcement.read_tree(signed(PLAIN, *rest), LIMITS)


MANY = [PrivateKey.generate() for _ in range(LIMITS.node_keys_max + 1)]


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        (signed(saying(entry(NEW), entry(NEW)), NEW), "twice"),
        (signed(saying(entry(NEW)), NEW, NEW), "twice"),
        (signed(saying(entry(NEW), entry(NEW, "revoked")), NEW), "twice"),
        (signed(saying(entry(NEW, "retired")), NEW), "no current"),
        (signed(saying(entry(NEW), entry(OLD, "retired", until=5)), NEW), "until"),
        (signed(saying(entry(NEW), entry(OLD, "revoked", until=5)), NEW), "until"),
        (signed(saying(entry(NEW)), NEW, OLD), "does not list"),
        (signed(saying(*map(entry, MANY)), *MANY), "more than"),
        (signed(saying(), NEW), "node_keys"),
        (signed(saying(*[entry(NEW)] * 65), NEW), "node_keys"),
        (signed(saying(entry(NEW, "lost")), NEW), "lost"),
        (signed(saying(entry(NEW, until=-1)), NEW), "until"),
        (signed(saying(entry(NEW, until="5")), NEW), "until"),
        (signed(saying({"key": "rsa:x", "state": "current"}), NEW), "key"),
        (signed(saying({"key": NEW.public}), NEW), "state"),
        (signed(PLAIN | {"serial": -1}, NEW, OLD), "serial"),
        (signed(PLAIN | {"serial": 2**53}, NEW, OLD), "serial"),
        (signed(PLAIN | {"id": "Alpha"}, NEW, OLD), "id"),
        (signed({"id": ALPHA, "serial": 1}, NEW), "node_keys"),
        (signed(PLAIN), "signatures"),
        ({"announcement": PLAIN}, "signatures"),
        ({"announcement": 7, "signatures": []}, "announcement"),
        ({}, "announcement"),
        (None, "object"),
    ],
)
def test_what_is_no_announcement_is_malformed_and_says_why(tree, why):
    with pytest.raises(Malformed, match=why):
        announcement.read_tree(tree, LIMITS)


@pytest.mark.parametrize(
    "members", [{"id": "beta.example"}, {"serial": 4}, {"node_keys": PLAIN["node_keys"][:2]}]
)
def test_a_changed_announcement_does_not_verify(members):
    tree = signed(PLAIN, NEW, OLD)
    tree["announcement"] = tree["announcement"] | members
    with pytest.raises(Malformed, match="verify"):
        announcement.read_tree(tree, LIMITS)


def test_a_signature_of_another_label_does_not_count():
    data = node_document.SIGNING_LABEL + msgspec.json.encode(PLAIN, order="sorted")
    signatures = [{"key": key.public, "value": b64url(key.sign(data))} for key in (NEW, OLD)]
    with pytest.raises(Malformed, match="verify"):
        announcement.read_tree({"announcement": PLAIN, "signatures": signatures}, LIMITS)


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"announcement": {"id": ALPHA, "later": "form"}, "signatures": []},
        signed(PLAIN, NEW),
        signed(PLAIN | {"id": "beta.example"}, NEW, OLD),
    ],
)
def test_an_announcement_that_does_not_count_leaves_the_node_document_as_it_is(bad):
    document = node_document.NodeDocument(
        id=ALPHA,
        keys=(NEW.public,),
        pools=(),
        protocols=(),
        models=(),
        types=(),
        features=(),
        limits=node_document.limits_of(LIMITS),
        addresses=(),
        time=1,
        announcement=bad,
    )
    read = node_document.read_tree(msgspec.to_builtins(node_document.make(document, (NEW,))))
    assert read.keys == (NEW.public,)
    assert announcement.of_document(read, LIMITS) is None
    without = msgspec.structs.replace(document, announcement=None)
    assert announcement.of_document(without, LIMITS) is None


def test_the_longest_announcement_fits_an_introduction_with_all_keys_and_pools():
    every = MANY[:-1]
    said = Announcement(
        id=NodeId(".".join(["a" * 62] * 4)),
        serial=2**53 - 1,
        keys=tuple(AnnouncedKey(key.public, "current", 2**53 - 1) for key in every),
    )
    document = node_document.NodeDocument(
        id=said.id,
        keys=tuple(key.public for key in every),
        pools=(),
        protocols=("1.0",),
        models=(Model(),),
        types=("pull", "get", "put", "reconcile", "roster"),
        features=(),
        limits=node_document.limits_of(LIMITS),
        addresses=("https://" + "a" * 292,),
        time=2**53 - 1,
        announcement=announcement.sign(said, every),
    )
    kept = node_document.compact(node_document.make(document, every))
    pools = 7 * 2 * 200  # a key and a signature each
    assert len(kept) + pools < LIMITS.introduction_bytes_max


trees = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["current", NEW.public, ALPHA]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["announcement", "signatures", "id", "serial", "node_keys", "key", "state", "value"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(trees)
def test_any_tree_is_malformed_and_nothing_else(tree):
    with pytest.raises(Malformed):
        announcement.read_tree(tree, LIMITS)


def test_a_current_key_whose_time_has_come_is_not_current_any_more():
    until = 1_700_000_000_000
    assert announcement.current_keys(SAID.keys, until - 1) == {NEW.public, OLD.public}
    assert announcement.current_keys(SAID.keys, until) == {NEW.public}
