"""Targets ``json`` and ``xml``: both decoders, with all that reads messages out of their trees.

A tree holds only what the protocol knows. A message that can be read can be written in both
encodings, is read from both alike, and its posts keep their canonical bytes.
"""

import json as plain_json
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import rfc8785

from replicator.errors import BadPostSignature, Malformed
from replicator.limits import Limits
from replicator.protocol import announcement, codec, messages, node_document
from replicator.protocol.characters import forbidden_in
from replicator.protocol.ids import INTEGER_MAX
from replicator.protocol.post import Post, Ref, SignedContent, canonical_bytes, post_of
from tests.fuzz import vectors
from tests.fuzz.target import Target, require

LIMITS: Final = Limits()
REQUESTS: Final = {
    "pull": messages.Pull,
    "get": messages.Get,
    "put": messages.Put,
    "reconcile": messages.Reconcile,
    "roster": messages.Roster,
}
ANSWERS: Final = (
    messages.PullAnswer,
    messages.GetAnswer,
    messages.PutAnswer,
    messages.ReconcileAnswer,
    messages.RosterAnswer,
)
JSON_TOKENS: Final = tuple(
    rb"""{ } [ ] : , " \ {} [] null true false 0 -0 1 -1 1.5 1e9 9007199254740991 9007199254740992
    "" "a" "\u0000" "\ud800" "\ud83d\ude00" "\r" "\\" "\u0074ype" "\ufffe" "type":"pull"
    "type":"put" "type":"get" "type":"roster" "status":"error" "status":"success" "thread":null
    "published":0 "tags":[] "models": "refs": "content": "signatures": "items": "cursor":"A"
    "document": "announcement": "node_keys": "introductions": "code":"busy" "since":1 "want":"refs"
    """.split()
)
XML_TOKENS: Final = tuple(
    rb"""<request> </request> <answer> </answer> <node> </node> <type> </type> <item> </item> <refs>
    </refs> <models> </models> <content> </content> <thread/> <thread> </thread> <tags/> <a/> <a>
    </a> <published>0</published> <published>9007199254740992</published> <limit>01</limit>
    <more>true</more> <!-- --> <![CDATA[ ]]> <?x ?> <!DOCTYPE &amp; &lt; &x; &#13; &#0; &#xD800;
    &#65534; xmlns='u' a='1' <status>error</status> <type>pull</type> <type>put</type>
    <?xml version="1.0"?> encoding="UTF-16" standalone="yes"
    """.split()
)


def read_json(data: bytes) -> bool:
    """Judge one JSON document."""
    try:
        tree = codec.decode(codec.JSON, data, LIMITS)
    except Malformed:
        return False
    _check_tree(tree)
    require(_plain(data) == _named(tree), "the tree is not what JSON's own reader finds")
    _check_again(codec.JSON, tree)
    read_messages(tree)
    return True


def read_xml(data: bytes) -> bool:
    """Judge one XML document."""
    try:
        tree = codec.decode(codec.XML, data, LIMITS)
    except Malformed:
        return False
    _check_tree(tree)
    _check_again(codec.JSON, tree)
    _check_again(codec.XML, tree)
    read_messages(tree)
    return True


def read_messages(tree: codec.Tree) -> None:
    """Read a tree as everything that it may be; what can be read is the same in both encodings."""
    for kind in (messages.RequestHead, messages.AnswerHead):
        _maybe(tree, kind)
    if isinstance(tree.get("type"), str) and tree["type"] in REQUESTS:
        request = _maybe(tree, REQUESTS[tree["type"]])
        if request is not None:
            _check_both(codec.request_tree(_settled(request)), type(request))
    for kind in ANSWERS:
        try:
            answer = codec.read_answer(tree, kind)
        except Malformed:
            continue
        _check_both(codec.answer_tree(_settled(answer)), type(answer))
    _read_signed(tree)


def _check_tree(tree: Any) -> None:
    level, depth = [tree], 0
    while level:
        depth += 1
        require(depth <= LIMITS.json_depth_max + 1, "nested too deeply")
        below: list[Any] = []
        for value in level:
            if type(value) is dict:
                below += [*value, *value.values()]
            elif type(value) is list:
                below += value
            elif type(value) is int:
                require(0 <= value <= INTEGER_MAX, f"{value} is no integer of the protocol")
            elif type(value) is str:
                require(forbidden_in(value) is None, f"{value!r} holds what strings may not")
            else:
                require(value is None or type(value) is bool, f"{value!r} stands in a tree")
        level = below


def _plain(data: bytes) -> Any:
    return _named(plain_json.loads(data))


def _named(value: Any) -> Any:
    """Return a value without nulls: where only they differ two trees mean the same."""
    if type(value) is dict:
        return {name: _named(one) for name, one in value.items() if one is not None}
    return [_named(one) for one in value] if type(value) is list else value


def _check_again(media_type: str, tree: codec.Tree) -> None:
    again = codec.decode(media_type, codec.encode(media_type, tree), LIMITS)
    require(again == tree, f"{media_type}: what was read is written as something else")


def _check_both(tree: codec.Tree, kind: Any) -> None:
    first = codec.decode(codec.JSON, codec.encode(codec.JSON, tree), LIMITS)
    second = codec.decode(codec.XML, codec.encode(codec.XML, tree), LIMITS)
    require(first == second, "JSON and XML disagree on a message")
    require(codec.read(first, kind) == codec.read(second, kind), "a message is read in two ways")


def _maybe(tree: Any, kind: Any) -> Any:
    try:
        return codec.read(tree, kind)
    except Malformed:
        return None


def _settled(message: Any) -> Any:
    """Return a message with those of its items only that can be read, as they are read."""
    changes: dict[str, Any] = {}
    for name, read in (("refs", _ref), ("models", _model), ("introductions", _introduction)):
        items = getattr(message, name, None)
        if items is not None:
            changes[name] = tuple(one for one in map(read, items) if one is not None)
    if getattr(message, "introduction", None) is not None:
        changes["introduction"] = _introduction(message.introduction)
    return msgspec.structs.replace(message, **changes)


def _ref(tree: Any) -> Ref | None:
    found: Ref | None = _maybe(tree, Ref)
    return found


def _model(tree: Any) -> messages.WireModel | None:
    signed = _maybe(tree, SignedContent)
    if signed is None:
        return None
    try:
        post = post_of(signed.content, signed.signatures, LIMITS)
    except Malformed:
        return None
    check_post(post)
    return codec.model_tree(post)


def check_post(post: Post) -> None:
    """Require that a post's bytes are RFC 8785's, and survive both encodings."""
    content = post.content
    require(rfc8785.dumps(msgspec.to_builtins(content)) == post.canonical, "not as RFC 8785 says")
    require(canonical_bytes(content) == post.canonical, "canonical bytes are not stable")
    request = codec.request_tree(messages.Put(models=(codec.model_tree(post),)))
    for media_type in (codec.JSON, codec.XML):
        tree = codec.decode(media_type, codec.encode(media_type, request), LIMITS)
        again = codec.read(tree["models"][0], SignedContent)
        require(
            post_of(again.content, again.signatures, LIMITS) == post, f"changed by {media_type}"
        )


def _introduction(tree: Any) -> Any:
    signed = _maybe(tree, node_document.SignedDocument)
    document = None if signed is None else _maybe(signed.document, node_document.NodeDocument)
    if signed is None or document is None:
        return None
    if document.announcement is not None:
        return None  # read by `_read_signed`; what is in it may be of a later version
    builtins = msgspec.to_builtins(document)
    return {"document": builtins, "signatures": msgspec.to_builtins(signed.signatures)}


def _read_signed(tree: Any) -> None:
    for candidate in (tree, *_parts(tree)):
        try:
            document = node_document.read_tree(candidate)
            require(codec.decode(codec.JSON, node_document.compact(candidate), LIMITS), "compact")
            announcement.of_document(document, LIMITS)
        except (Malformed, BadPostSignature):
            pass
        try:
            said, signers = announcement.read_tree(candidate, LIMITS)
        except (Malformed, BadPostSignature):
            continue
        require(signers <= {entry.key for entry in said.keys}, "a signer that is not listed")


def _parts(tree: Any) -> Iterator[Any]:
    for name in ("introduction", "document", "announcement"):
        if isinstance(tree, dict) and name in tree:
            yield tree[name]
    items = tree.get("introductions") if isinstance(tree, dict) else None
    if isinstance(items, list):
        yield from items[:3]


JSON: Final = Target("json", read_json, lambda: vectors.bodies(codec.JSON), JSON_TOKENS)
XML: Final = Target("xml", read_xml, lambda: vectors.bodies(codec.XML), XML_TOKENS)
