"""Inflating what peers send, within a bound."""

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.errors import ErrorCode, Refusal
from replicator.protocol.compression import accepts, deflate, inflate


@given(st.binary(max_size=2000))
def test_a_body_comes_back(body):
    packed = deflate(body)
    assert gzip.decompress(packed) == body
    assert inflate(packed, len(body)) == body
    assert deflate(body) == packed


@pytest.mark.parametrize("size", [1001, 100_000_000])
def test_more_than_the_bound_is_too_large_and_never_held(size):
    packed = gzip.compress(bytes(size))
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as caught:
            inflate(packed, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"plain",
        deflate(b"whole")[:-1],
        deflate(b"whole") + b"\0",
        deflate(b"one") * 2,
        deflate(b"whole")[:-8] + bytes(8),
    ],
)
def test_anything_but_one_whole_member_is_malformed(wire):
    with pytest.raises(Refusal) as caught:
        inflate(wire, 1000)
    assert caught.value.code is ErrorCode.MALFORMED


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        ("gzip", True),
        ("GZip", True),
        ("br, gzip;q=0.5", True),
        ("gzip; q=1.0, br", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("x-gzip", False),
    ],
)
def test_compression_is_used_only_where_it_is_asked_for(field, accepted):
    assert accepts(field) is accepted
