"""Headers and bodies are read within their bounds, whatever is sent."""

import asyncio

import pytest

from replicator.errors import ErrorCode, Refusal
from replicator.gateway.asgi import Disconnected, read_body, read_headers, unless_gone
from replicator.gateway.bounds import InFlight


def headers_of(*pairs: tuple[bytes, bytes], bytes_max: int = 1000) -> dict[str, str]:
    return read_headers({"headers": list(pairs)}, bytes_max)


def receiving(*messages):
    """Return a receive callable that gives these messages and then waits for ever."""
    left = list(messages)

    async def receive():
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def chunk(body: bytes, *, more: bool = False):
    return {"type": "http.request", "body": body, "more_body": more}


def read(receive, headers=None, *, bytes_max=10, seconds=5.0, room=1000) -> bytes:
    async def run() -> bytes:
        with InFlight(1, room).enter() as hold:
            return await read_body(
                receive, headers or {}, hold, bytes_max=bytes_max, seconds=seconds
            )

    return asyncio.run(run())


def test_names_are_lowered_and_repeated_fields_joined():
    headers = headers_of((b"Accept", b"a"), (b"accept", b"b"), (b"X", b"\xe9"))
    assert headers == {"accept": "a, b", "x": "é"}


@pytest.mark.parametrize(
    "name",
    [
        b"signature",
        b"Signature-Input",
        b"content-type",
        b"content-encoding",
        b"content-length",
        b"content-digest",
        b"host",
        b"Replicator-Sender",
        b"replicator-anything",
    ],
)
def test_a_field_whose_choice_would_matter_stands_once_and_in_ascii(name):
    for pairs in ([(name, b"1"), (name, b"1")], [(name, b"\xff")]):
        with pytest.raises(Refusal) as caught:
            headers_of(*pairs)
        assert caught.value.code is ErrorCode.MALFORMED


def test_a_header_that_is_too_large_is_refused():
    with pytest.raises(Refusal) as caught:
        headers_of((b"x", b"1" * 1000))
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_a_body_comes_whole_out_of_its_pieces():
    body = read(receiving(chunk(b"ab", more=True), chunk(b"", more=True), chunk(b"cd")))
    assert body == b"abcd"


def test_a_body_of_exactly_the_bound_is_taken_and_one_more_byte_is_not():
    assert read(receiving(chunk(b"x" * 10))) == b"x" * 10
    with pytest.raises(Refusal) as caught:
        read(receiving(chunk(b"x" * 6, more=True), chunk(b"x" * 5)))
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_a_declared_length_past_the_bound_is_refused_before_reading():
    with pytest.raises(Refusal) as caught:
        read(receiving(), {"content-length": "11"})
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_a_body_that_is_never_complete_is_refused_at_its_deadline():
    with pytest.raises(Refusal) as caught:
        read(receiving(chunk(b"a", more=True)), seconds=0.01)
    assert caught.value.code is ErrorCode.MALFORMED


def test_a_body_for_which_there_is_no_room_is_busy():
    with pytest.raises(Refusal) as caught:
        read(receiving(chunk(b"x" * 6)), room=5)
    assert caught.value.code is ErrorCode.BUSY


def test_a_client_that_leaves_is_nobody_to_answer():
    with pytest.raises(Disconnected):
        read(receiving(chunk(b"a", more=True), {"type": "http.disconnect"}))


def test_waiting_ends_with_the_answer_the_client_or_the_time():
    async def run():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        done.set_result(7)
        assert await unless_gone(receiving(), done, 1.0) == 7
        with pytest.raises(Disconnected):
            await unless_gone(receiving({"type": "http.disconnect"}), loop.create_future(), 1.0)
        with pytest.raises(TimeoutError):
            await unless_gone(receiving(), loop.create_future(), 0.01)

    asyncio.run(run())


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"identity", b"chunked, chunked"])
def test_another_transfer_coding_than_chunked_is_malformed(coding):
    with pytest.raises(Refusal) as caught:
        headers_of((b"transfer-encoding", coding))
    assert caught.value.code == ErrorCode.MALFORMED
    assert headers_of((b"Transfer-Encoding", b"Chunked")) == {"transfer-encoding": "Chunked"}
