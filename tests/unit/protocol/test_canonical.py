"""RFC 8785 of trees, against an independent implementation."""

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from replicator.limits import Limits
from replicator.protocol import announcement, codec, node_document
from replicator.protocol.canonical import canonical
from replicator.protocol.signing import PrivateKey, b64url

# beyond the basic plane, and after the surrogates within it: code points and UTF-16 disagree
ASTRAL, LIGATURE = "\U0001f600", "\ufb00"
names = st.text(st.sampled_from(f'az{ASTRAL}{LIGATURE}\u00e9\ue000\uffee\U0010ffff"\\'), max_size=3)
trees = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**53 - 1) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(names, trees, max_size=5))
def test_any_tree_has_the_bytes_of_an_independent_rfc_8785(tree):
    assert canonical(tree) == rfc8785.dumps(tree)


def test_members_are_ordered_by_utf_16_where_code_points_order_otherwise():
    assert list(codec.decode(codec.JSON, canonical({LIGATURE: 1, ASTRAL: 2}), Limits())) == [
        ASTRAL,
        LIGATURE,
    ]


def test_a_later_version_may_name_its_members_in_any_script():
    """What an independent implementation signs, with members that this version does not know."""
    key = PrivateKey.generate()
    content = {"id": "a.example", "serial": 1, LIGATURE: "x", ASTRAL: "y"}
    content["node_keys"] = [{"key": key.public, "state": "current", LIGATURE: "1", ASTRAL: "2"}]
    said = {
        "announcement": content,
        "signatures": [_signed(b"replicator:keys:1.0\n", content, key)],
    }
    assert announcement.read_tree(said, Limits())[1] == {key.public}
    document = {
        "id": "a.example",
        "keys": [key.public],
        **{name: [] for name in ("pools", "protocols", "models", "types", "features")},
        "addresses": [],
        "limits": {"message_bytes_max": 0, "post_bytes_max": 0, "items_max": 0},
        "time": 0,
        LIGATURE: "x",
        ASTRAL: "y",
    }
    tree = {"document": document, "signatures": [_signed(b"replicator:node:1.0\n", document, key)]}
    assert node_document.read_tree(tree).id == "a.example"


def _signed(label: bytes, content: dict, key: PrivateKey) -> dict[str, str]:
    return {"key": key.public, "value": b64url(key.sign(label + rfc8785.dumps(content)))}
