"""The two encodings carry the same information: every message, read from both, is the same tree."""

import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.errors import Malformed
from replicator.limits import Limits
from replicator.protocol import codec, messages
from replicator.protocol.announcement import AnnouncedKey, Announcement
from replicator.protocol.ids import INTEGER_MAX
from replicator.protocol.messages import Filter, Get, Missing, Pull, Put, PutItem, PutResult
from replicator.protocol.node_document import NodeDocument, NodeLimits
from replicator.protocol.post import (
    Attachment,
    Content,
    PostSignature,
    Ref,
    SignedContent,
    canonical_bytes,
    post_of,
)
from replicator.protocol.signing import b64url

LIMITS = Limits()
# Machines that are busy with other tests are no reason to fail
PATIENT = [HealthCheck.too_slow]
BOUNDED = settings(deadline=None, max_examples=40, suppress_health_check=PATIENT)

# --- strategies ----------------------------------------------------------------------------------

FORBIDDEN = "".join(map(chr, [*range(9), 11, 12, 13, *range(14, 32), 0xFFFE, 0xFFFF]))
text = st.text(
    st.characters(codec="utf-8", exclude_characters=FORBIDDEN) | st.sampled_from("<>&]'\" \n\t\\/")
)
label = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\Z")
node_ids = st.lists(label, min_size=1, max_size=4).map(".".join)
local_ids = st.from_regex(r"\A[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,30}\Z")
global_ids = st.builds("{}/{}".format, node_ids, local_ids)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
keys = st.from_regex(r"\Aed25519:[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\Z")
cursors = st.from_regex(r"\A[A-Za-z0-9_-]{1,128}\Z")
integers = st.integers(0, INTEGER_MAX)
signatures = st.builds(PostSignature, keys, st.from_regex(r"\A[A-Za-z0-9_-]{85}[AQgw]\Z"))


def tuples(items: st.SearchStrategy[Any], **bounds: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=bounds.pop("max_size", 3), **bounds).map(tuple)


contents = st.builds(
    Content,
    attachments=tuples(st.builds(Attachment, digests, text, text, integers)),
    author=text,
    id=global_ids,
    published=integers,
    tags=tuples(text.filter(bool), unique=True),
    text=text,
    thread=st.none() | global_ids,
    title=text,
)
posts = st.builds(
    lambda content, signed: post_of(content, signed, LIMITS),
    contents,
    tuples(signatures, min_size=1, unique_by=lambda signature: signature.key),
)
refs = tuples(st.builds(Ref, global_ids, digests, integers, integers))
models = tuples(posts.map(codec.model_tree))
filters = st.builds(
    Filter,
    nodes=tuples(node_ids),
    except_nodes=tuples(node_ids),
    since=st.none() | integers,
    until=st.none() | integers,
    tags=tuples(text),
    threads=tuples(global_ids),
)
frames = st.binary(max_size=60).map(b64url)
announcements = st.builds(
    lambda said, signed: {"announcement": msgspec.to_builtins(said), "signatures": signed},
    st.builds(
        Announcement,
        id=node_ids,
        serial=integers,
        keys=tuples(
            st.builds(
                AnnouncedKey,
                key=keys,
                state=st.sampled_from(["current", "retired", "revoked"]),
                until=st.none() | integers,
            ),
            min_size=1,
        ),
    ),
    tuples(signatures, min_size=1),
)
introductions = st.builds(
    lambda document, signed: {"document": msgspec.to_builtins(document), "signatures": signed},
    st.builds(
        NodeDocument,
        id=node_ids,
        keys=tuples(keys, min_size=1),
        pools=tuples(keys),
        protocols=st.just(("1.0",)),
        models=st.just((messages.Model(),)),
        types=st.just(messages.REQUEST_TYPES),
        features=st.just(()),
        limits=st.builds(NodeLimits, integers, integers, integers),
        addresses=st.just(("https://a.example",)),
        time=integers,
        floor=integers,
        announcement=st.none() | announcements,
    ),
    tuples(signatures, min_size=1),
)
requests = st.one_of(
    st.builds(
        Pull,
        filter=st.none() | filters,
        scope=st.none() | keys,
        after=st.none() | cursors,
        limit=st.none() | st.integers(1, 1_000_000),
        want=st.sampled_from(["refs", "models"]),
    ),
    st.builds(
        Get,
        ids=tuples(global_ids),
        digests=tuples(digests),
        want=st.sampled_from(["refs", "models"]),
    ),
    st.builds(messages.Reconcile, keys, integers, frames),
    st.builds(
        messages.Roster,
        scope=keys,
        introduction=st.none() | introductions,
        after=st.none() | node_ids,
    ),
    st.builds(Put, refs=refs) | st.builds(Put, models=models),
)
answers = st.one_of(
    st.builds(
        messages.PullAnswer,
        refs=refs,
        cursor=cursors,
        more=st.booleans(),
        remaining=st.none() | integers,
    ),
    st.builds(messages.ReconcileAnswer, since=integers, frame=st.none() | frames),
    st.builds(messages.RosterAnswer, introductions=tuples(introductions), more=st.booleans()),
    st.builds(messages.GetAnswer, refs=refs),
    st.builds(messages.PullAnswer, models=models, cursor=cursors, more=st.booleans()),
    st.builds(
        messages.GetAnswer,
        models=models,
        missing=tuples(
            st.builds(
                Missing,
                id=st.none() | global_ids,
                digest=st.none() | digests,
                declined=st.booleans(),
            )
        ),
    ),
    st.builds(
        messages.PutAnswer,
        items=tuples(
            st.builds(
                PutItem,
                st.sampled_from(PutResult),
                digest=st.none() | digests,
                reason=st.none() | text,
            )
        ),
    ),
    st.builds(
        messages.ErrorAnswer,
        code=text,
        message=text,
        versions=tuples(text),
        model_versions=tuples(text),
        time=st.none() | integers,
        retry_after=st.none() | integers,
    ),
    st.builds(messages.UnsupportedAnswer, message=text, types=tuples(text)),
)


def both(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the tree that both encodings of ``tree`` give; fail where they differ."""
    from_json = codec.decode(codec.JSON, codec.encode(codec.JSON, tree), LIMITS)
    from_xml = codec.decode(codec.XML, codec.encode(codec.XML, tree), LIMITS)
    assert from_json == from_xml
    return from_json


# --- every message -------------------------------------------------------------------------------


@BOUNDED
@given(requests)
def test_every_request_is_the_same_in_both(request):
    tree = both(codec.request_tree(request))
    read = codec.read(tree, type(request))
    assert codec.encode(codec.JSON, codec.request_tree(read)) == codec.encode(
        codec.JSON, codec.request_tree(request)
    )


@BOUNDED
@given(answers)
def test_every_answer_is_the_same_in_both(answer):
    tree = both(codec.answer_tree(answer))
    read = codec.read(tree, type(answer))
    assert both(codec.answer_tree(read)) == tree


@BOUNDED
@given(posts)
def test_a_post_keeps_its_canonical_bytes_through_both(post):
    tree = both(codec.request_tree(Put(models=(codec.model_tree(post),))))
    item = codec.read(tree["models"][0], SignedContent)
    assert post_of(item.content, item.signatures, LIMITS) == post


@BOUNDED
@given(contents)
def test_canonical_bytes_are_those_of_an_independent_rfc_8785(content):
    canonical = canonical_bytes(content)
    assert rfc8785.dumps(json.loads(canonical)) == canonical


# --- every string --------------------------------------------------------------------------------


@BOUNDED
@given(st.text(st.characters() | st.sampled_from(FORBIDDEN)))
def test_a_string_is_read_alike_or_refused_by_both(value):
    """However JSON and XML spell a string that another implementation sends."""
    document = {"type": value}
    spellings = [json.dumps(document, ensure_ascii=flag) for flag in (True, False)]
    outcomes = [outcome(codec.JSON, spelling) for spelling in spellings]
    if "\r" not in value:
        escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        numeric = "".join(f"&#{ord(character)};" for character in value)
        for inner in (escaped, numeric):
            xml = f"<request><type>{inner}</type></request>"
            outcomes.append(outcome(codec.XML, xml))
    assert all(found == outcomes[0] for found in outcomes)
    assert outcomes[0] in (document, "malformed")


def outcome(media_type: str, document: str) -> dict[str, Any] | str:
    try:
        return codec.decode(media_type, document.encode("utf-8", "surrogatepass"), LIMITS)
    except Malformed:
        return "malformed"


# --- any bytes -----------------------------------------------------------------------------------

PIECES = r"""
{ } [ ] : , " \ \ud800 \u0000 \r null true -1 1.5 1e9 "a" "type":"x" "thread":null
<request> </request> <type> </type> <item> <refs> <content> <!-- --> <![CDATA[ ]]> <?x ?>
<!DOCTYPE &amp; &x; &#13; &#xD800; xmlns='u' a='1' <a/>
"""
FRAGMENTS = st.sampled_from([*PIECES.split(), "\ufeff", "\ud800", "\0", "\u20ac", "\n", " "])


@settings(deadline=None, max_examples=300, suppress_health_check=PATIENT)
@given(
    st.lists(FRAGMENTS | st.binary(max_size=3), max_size=30),
    st.sampled_from([codec.JSON, codec.XML]),
)
def test_any_bytes_are_a_tree_or_malformed_and_nothing_else(parts, media_type):
    data = b"".join(
        part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass") for part in parts
    )
    for document in (data, b'{"a":' + data + b"}", b"<request><type/>" + data + b"</request>"):
        try:
            tree = codec.decode(media_type, document, LIMITS)
        except Malformed:
            continue
        # What was read can be written, and is read alike from what was written
        assert codec.decode(codec.JSON, codec.encode(codec.JSON, tree), LIMITS) == tree


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_one_bad_item_leaves_the_others(media_type):
    content = Content((), "", "a.example/1", 0, (), "", None, "")
    signature = PostSignature("ed25519:" + "A" * 43, "A" * 86)
    good = codec.model_tree(post_of(content, [signature], LIMITS))
    for bad in ({}, {"content": {}, "signatures": []}, {"signatures": []}):
        tree = codec.request_tree(Put(models=(bad, good)))
        first, second = codec.decode(media_type, codec.encode(media_type, tree), LIMITS)["models"]
        with pytest.raises(Malformed):
            codec.read(first, SignedContent)
        assert codec.read(second, SignedContent)
