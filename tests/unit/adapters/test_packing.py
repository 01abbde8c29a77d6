"""Signatures as bytes in a column."""

from hypothesis import given
from hypothesis import strategies as st

from replicator.adapters.sql.packing import pack_signatures, unpack_signatures
from tests.support.posts import key, signature


@given(st.lists(st.text(), max_size=8))
def test_what_is_packed_is_unpacked_in_its_order(names: list[str]) -> None:
    signatures = tuple(signature(key(name), name) for name in names)
    packed = pack_signatures(signatures)
    assert unpack_signatures(packed) == signatures
    assert len(packed) == 1 + 96 * len(signatures)
