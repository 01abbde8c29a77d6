"""Media types, and messages made of trees."""

import time

import msgspec
import pytest

from replicator.errors import ErrorCode, Malformed, Refusal
from replicator.limits import PROTOCOL_FLOOR, Limits
from replicator.protocol import codec
from replicator.protocol.messages import (
    FRAME_BYTES_MAX,
    ErrorAnswer,
    Filter,
    Get,
    GetAnswer,
    Missing,
    Pull,
    PullAnswer,
    Put,
    PutAnswer,
    PutItem,
    PutResult,
    Reconcile,
    ReconcileAnswer,
    RequestHead,
    Roster,
    RosterAnswer,
    UnsupportedAnswer,
)
from replicator.protocol.post import Content, PostSignature, Ref, SignedContent, post_of
from replicator.protocol.signing import b64url

LIMITS = Limits()
FRAME_CHARS_MAX = 349_526
DIGEST = "0f" * 32
KEY = "ed25519:" + "A" * 43
HEAD = {"protocol": "1.0", "model": {"name": "post", "version": "1.0"}}
BOTH = pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])


def a_post(text: str = "é <&> \u2028/"):
    content = Content(
        attachments=(),
        author="",
        id="a.example/1",
        published=5,
        tags=("x",),
        text=text,
        thread=None,
        title="",
    )
    return post_of(content, [PostSignature(KEY, "A" * 86)], LIMITS)


def through(media_type, tree):
    return codec.decode(media_type, codec.encode(media_type, tree), LIMITS)


# --- media types ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ("application/json", codec.JSON),
        ("Application/JSON", codec.JSON),
        ("application/json; charset=utf-8", codec.JSON),
        ('application/xml ;\tCharset="UTF-8"', codec.XML),
        (" application/xml ", codec.XML),
    ],
)
def test_a_known_media_type_is_recognised(header, media_type):
    assert codec.media_type_of(header) == media_type


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "text/xml",
        "text/json",
        "application/jsonx",
        "application/json;",
        "*/*",
        "application/json; charset=latin1",
        "application/json; charset=utf-8; charset=utf-8",
        "application/json; q=1",
        "application/json, application/xml",
        "application/ld+json",
        "application/json; charset = utf-8",
        "\x00" * 9999,
    ],
)
def test_another_media_type_is_refused(header):
    with pytest.raises(Refusal) as caught:
        codec.media_type_of(header)
    assert caught.value.code is ErrorCode.UNSUPPORTED_MEDIA_TYPE
    assert len(caught.value.message) < 500


# --- requests ------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "message",
    [
        Pull(),
        Pull(filter=Filter(nodes=("a.example",), since=1, until=2, tags=("", "t"))),
        Pull(filter=Filter(except_nodes=("a", "b")), scope=KEY, after="c", limit=1, want="models"),
        Get(ids=("a.example/1",), digests=(DIGEST,)),
        Get(digests=(DIGEST,), want="refs"),
        Get(),
        Reconcile(scope=KEY, since=0, frame=""),
        Reconcile(scope=KEY, since=2**53 - 1, frame="YQ-_"),
        Roster(scope=KEY),
        Roster(scope=KEY, introduction={"document": {"id": "a"}, "signatures": []}, after="a"),
    ],
)
def test_a_request_comes_back_as_it_went(media_type, message):
    tree = through(media_type, codec.request_tree(message))
    assert codec.read(tree, RequestHead).protocol == "1.0"
    assert codec.read(tree, type(message)) == message


@BOTH
def test_items_of_a_put_are_read_one_by_one(media_type):
    post = a_post()
    tree = through(media_type, codec.request_tree(Put(models=(codec.model_tree(post),) * 2)))
    for item in codec.read(tree, Put).models:
        signed = codec.read(item, SignedContent)
        assert post_of(signed.content, signed.signatures, LIMITS) == post
    tree = through(media_type, codec.request_tree(Put(refs=(post.ref,))))
    assert [codec.read(item, Ref) for item in codec.read(tree, Put).refs] == [post.ref]


def test_members_that_hold_their_default_are_left_out():
    assert set(codec.request_tree(Pull())) == {"type", "protocol", "model"}
    assert set(codec.request_tree(Pull(limit=5))) == {"type", "protocol", "model", "limit"}


def test_canonical_content_is_passed_on_unparsed():
    raw = b'{"not": "looked at"}'
    model = codec.WireModel(msgspec.Raw(raw), ())
    assert raw in codec.encode(codec.JSON, codec.request_tree(Put(models=(model,))))


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"want": "all"}, "want"),
        ({"after": "not a cursor"}, "after"),
        ({"after": ""}, "after"),
        ({"scope": "ed25519:short"}, "scope"),
        ({"filter": []}, "filter"),
        ({"filter": {"nodes": "a"}}, "nodes"),
        ({"filter": {"nodes": ["A.example"]}}, "nodes"),
        ({"filter": {"nodes": ["a.example\n"]}}, "nodes"),
        ({"filter": {"nodes": ["a"] * 101}}, "nodes"),
        ({"filter": {"tags": [1]}}, "tags"),
        ({"filter": {"since": 2**53}}, "since"),
        ({"type": "get"}, "type"),
    ],
)
def test_a_bad_argument_is_named(arguments, place):
    with pytest.raises(Malformed, match=place):
        codec.read({"type": "pull", **arguments}, Pull)


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"scope": None}, "scope"),
        ({"scope": "pool"}, "scope"),
        ({"since": None}, "since"),
        ({"since": -1}, "since"),
        ({"since": 2**53}, "since"),
        ({"frame": None}, "frame"),
        ({"frame": "YQ=="}, "frame"),
        ({"frame": "Y Q"}, "frame"),
        ({"frame": "Y+/Q"}, "frame"),
        ({"frame": "YQ\n"}, "frame"),
        ({"frame": "A" * (FRAME_CHARS_MAX + 1)}, "frame"),
    ],
)
def test_a_bad_argument_of_reconcile_is_named(arguments, place):
    tree = {"type": "reconcile", "scope": KEY, "since": 0, "frame": "YQ", **arguments}
    given = {name: value for name, value in tree.items() if value is not None}
    with pytest.raises(Malformed, match=place):
        codec.read(given, Reconcile)


@BOTH
def test_the_longest_frame_fits_a_message_of_every_node(media_type):
    frame = b64url(b"\xff" * FRAME_BYTES_MAX)
    assert len(frame) == FRAME_CHARS_MAX
    for tree, kind in (
        (codec.request_tree(Reconcile(scope=KEY, since=0, frame=frame)), Reconcile),
        (codec.answer_tree(ReconcileAnswer(since=0, frame=frame)), ReconcileAnswer),
    ):
        body = codec.encode(media_type, tree)
        assert len(body) < PROTOCOL_FLOOR["message_bytes_max"] // 2
        assert codec.read(codec.decode(media_type, body, LIMITS), kind).frame == frame
    with pytest.raises(ValueError, match="reconcile_frame_bytes"):
        Limits(reconcile_frame_bytes_max=FRAME_BYTES_MAX + 1)


def test_unknown_members_of_a_message_are_ignored_and_of_content_are_not():
    tree = {"type": "pull", "filter": {"future": 1}, "future": [], "model": {"future": 1}}
    assert codec.read(tree, Pull) == Pull(filter=Filter())
    content = msgspec.to_builtins(a_post().content)
    assert codec.read({"content": content, "signatures": []}, SignedContent)
    for bad in (
        {"content": content | {"future": 1}, "signatures": []},
        {"content": content, "signatures": [], "future": 1},
        {"content": content, "signatures": [{"key": KEY, "value": "A" * 86, "future": 1}]},
        {"content": {n: v for n, v in content.items() if n != "thread"}, "signatures": []},
    ):
        with pytest.raises(Malformed):
            codec.read(bad, SignedContent)


@BOTH
def test_an_unknown_member_of_content_makes_one_bad_item(media_type):
    content = msgspec.to_builtins(a_post().content)
    items = [
        {"content": content | {"future": "x"}, "signatures": []},
        {"content": content, "signatures": []},
    ]
    tree = through(media_type, {"type": "put", **HEAD, "models": items})
    first, second = codec.read(tree, Put).models
    with pytest.raises(Malformed, match="future"):
        codec.read(first, SignedContent)
    assert codec.read(second, SignedContent)


def test_complaints_are_short_and_fit_to_stand_in_a_document():
    with pytest.raises(Malformed) as caught:
        codec.read({"a" * 9999: 1, "\ud800\r": 2}, SignedContent)
    with pytest.raises(Malformed) as other:
        codec.read({"content": 1, "\ud800\r" + "a" * 9999: 2}, PostSignature)
    for text in (str(caught.value), str(other.value)):
        assert len(text) <= codec.NOTE_CHARS_MAX
        assert codec.cleaned(text, 999) == text


# --- answers -------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "answer",
    [
        PullAnswer(refs=(), cursor="c"),
        PullAnswer(models=(), cursor="c", more=True),
        PullAnswer(refs=(), cursor="c", remaining=0),
        PullAnswer(refs=(), cursor="c", remaining=5),
        GetAnswer(),
        GetAnswer(refs=()),
        ReconcileAnswer(since=5),
        ReconcileAnswer(since=0, frame="YQ"),
        RosterAnswer(introductions=()),
        RosterAnswer(introductions=({"document": {}, "signatures": []},), more=True),
        GetAnswer(models=(), missing=(Missing(id="a/1"), Missing(digest=DIGEST, declined=True))),
        PutAnswer(
            items=(PutItem(PutResult.STORED, DIGEST), PutItem(PutResult.REFUSED, reason="no"))
        ),
        PutAnswer(items=()),
        ErrorAnswer(code="busy", message="later", retry_after=3),
        ErrorAnswer(code="stale", message="", time=2**53 - 1),
        ErrorAnswer(
            code="version-mismatch", message="", versions=("1.0", "2.0"), model_versions=("1.0",)
        ),
        UnsupportedAnswer(message="?", types=("pull", "get", "put")),
    ],
)
def test_an_answer_comes_back_as_it_went(media_type, answer):
    tree = through(media_type, codec.answer_tree(answer))
    assert codec.read_answer(tree, type(answer)) == answer


@BOTH
def test_only_what_an_answer_has_is_written(media_type):
    head = {"status", "protocol", "model"}
    for answer, members in (
        (GetAnswer(models=()), {"models"}),
        (GetAnswer(refs=(), missing=(Missing(id="a/1"),)), {"refs", "missing"}),
        (ReconcileAnswer(since=0), {"since"}),
        (ReconcileAnswer(since=0, frame=""), {"since", "frame"}),
        (RosterAnswer(introductions=()), {"introductions"}),
        (PullAnswer(refs=(), cursor="c", remaining=0), {"refs", "cursor", "remaining"}),
    ):
        assert set(through(media_type, codec.answer_tree(answer))) == head | members


def test_an_unknown_error_code_counts_as_unexpected():
    tree = codec.answer_tree(ErrorAnswer(code="from-the-future", message="m"))
    error = codec.read_answer(through(codec.JSON, tree), PullAnswer)
    assert error == ErrorAnswer(code="unexpected", message="m")


def test_an_error_in_another_version_can_be_read_and_a_success_cannot():
    head = {"protocol": "2.0", "model": {"name": "post", "version": "9"}}
    error = {"status": "error", **head, "code": "version-mismatch", "message": ""}
    assert codec.read_answer(error, PullAnswer).code == "version-mismatch"
    with pytest.raises(Malformed, match="version"):
        codec.read_answer({"status": "success", **head, "cursor": "c"}, PullAnswer)


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"status": "success"},
        {"status": "fine", **HEAD},
        {"status": "success", **HEAD, "items": [{"result": "eaten"}]},
        {"status": "success", **HEAD},
        {"status": "error", **HEAD},
    ],
)
def test_what_is_no_answer_to_the_request_is_malformed(tree):
    with pytest.raises(Malformed):
        codec.read_answer(tree, PutAnswer)


@BOTH
def test_a_note_for_a_person_is_made_fit_for_a_document(media_type):
    answer = ErrorAnswer(code="malformed", message="\ud800\r\0" + "m" * 9999)
    error = codec.read_answer(through(media_type, codec.answer_tree(answer)), PutAnswer)
    assert error.message.startswith("\ufffd\ufffd\ufffdm")
    assert len(error.message) == codec.NOTE_CHARS_MAX


PARTS = 500 * (64 + 32)
"""As few as may be set."""


@pytest.mark.parametrize(
    ("media_type", "document"),
    [
        (codec.JSON, b'{"a":[%s]}' % b",".join([b"[]"] * PARTS)),
        (codec.JSON, b'{"a":[%s]}' % b",".join([b'"x"'] * (PARTS + 1))),
        (codec.JSON, b"[" * (PARTS + 1)),
        (codec.XML, b"<request>%s</request>" % (b"<item/>" * PARTS)),
        (codec.XML, b"<request>%s</request>" % (b"<item>x</item>" * PARTS)),
    ],
)
def test_a_document_of_too_many_parts_is_refused_before_it_is_read(media_type, document):
    limits = Limits(document_parts_max=PARTS)
    with pytest.raises(Malformed, match=f"more than {PARTS} parts"):
        codec.decode(media_type, document, limits)


@pytest.mark.parametrize(
    "data",
    [
        b'"' + b'\\"' * 500_000,
        b'"' * 1_000_000,
        b'{"a":' + b'"\\' * 300_000,
        b"," * 1_000_000,
        b"<![CDATA[" * 110_000,
        b"<![CDATA[]]>" * 80_000,
        b"<a><![CDATA[<]]>" * 60_000,
    ],
)
@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_nothing_makes_counting_costly(media_type, data):
    began = time.process_time()
    with pytest.raises(Malformed):
        codec.decode(media_type, data, Limits())
    assert time.process_time() - began < 1.0


def test_texts_of_many_sections_are_read_in_linear_time():
    sections = b"<![CDATA[<]]>" * 40_000
    data = b"<answer><status>success</status><cursor>%s</cursor></answer>" % sections
    began = time.process_time()
    assert codec.decode(codec.XML, data, Limits())["cursor"] == "<" * 40_000
    assert time.process_time() - began < 1.0


def test_marks_in_texts_are_no_parts():
    limits = Limits(document_parts_max=PARTS)
    text = ',[{\\"' * 9_000
    tree = {"status": "success", "cursor": text, "more": False}
    for media_type in (codec.JSON, codec.XML):
        assert codec.decode(media_type, codec.encode(media_type, tree), limits) == tree
    sections = b"<answer><status>success</status><cursor><![CDATA[%s]]></cursor></answer>"
    assert codec.decode(codec.XML, sections % (b"<a>" * 99_000), limits)["cursor"] == "<a>" * 99_000


def test_the_fullest_message_that_is_allowed_is_read():
    limits = Limits()
    tags = [f"{number:x}" for number in range(limits.post_tags_max)]
    items = [{"id": "n/1", "tags": tags} for _ in range(limits.items_max)]
    tree = {"status": "success", "models": items}
    for media_type in (codec.JSON, codec.XML):
        assert codec.decode(media_type, codec.encode(media_type, tree), limits) == tree
