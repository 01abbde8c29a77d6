"""Documents to trees to messages, and back: what the two encodings have in common.

Pure. A *tree* is a document as plain builtins; it is the same whichever encoding carried it.
`decode` judges the document, `read` a message or one item in it, so that a bad item is one bad
item. Sizes are the reader's business: bytes beyond ``Limits.message_bytes_max`` never get here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec

from replicator.errors import ErrorCode, Malformed, Refusal
from replicator.limits import Limits
from replicator.protocol import json_codec, xml_codec
from replicator.protocol.characters import cleaned
from replicator.protocol.messages import (
    PROTOCOL_VERSION,
    Answer,
    AnswerHead,
    ErrorAnswer,
    Model,
    Request,
    UnsupportedAnswer,
    WireModel,
)
from replicator.protocol.post import Post

JSON: Final = "application/json"
XML: Final = "application/xml"
Tree = dict[str, Any]

NOTE_CHARS_MAX: Final = 500
"""Longest text for a person in an answer, and longest complaint about a document."""

_DECODERS: Final[Mapping[str, Callable[[bytes, int], Tree]]] = {
    JSON: json_codec.decode,
    XML: xml_codec.decode,
}
_COUNTS: Final[Mapping[str, Callable[[bytes], int]]] = {
    JSON: json_codec.count_parts,
    XML: xml_codec.count_parts,
}
_ENCODERS: Final[Mapping[str, Callable[[Mapping[str, Any]], bytes]]] = {
    JSON: json_codec.encode,
    XML: xml_codec.encode,
}
_T = TypeVar("_T")
_A = TypeVar("_A", bound=Answer)


def media_type_of(header: str | None) -> str:
    """Return `JSON` or `XML` for a Content-Type; its one allowed parameter is charset=utf-8.

    Raises:
        Refusal: ``unsupported-media-type``.
    """
    kind, *parameters = [part.strip(" \t").lower() for part in (header or "").split(";")]
    known = kind in _DECODERS
    if not known or parameters not in ([], ["charset=utf-8"], ['charset="utf-8"']):
        shown = cleaned(header or "none", 80)
        message = f"Content-Type {shown!r}: send {JSON} or {XML}, in UTF-8"
        raise Refusal(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    return kind


def decode(media_type: str, data: bytes, limits: Limits) -> Tree:
    """Return the document in ``data`` as a tree; raise `Malformed` where it is none.

    Args:
        media_type: `JSON` or `XML`, as `media_type_of` gives it.
        data: the body, decompressed.
        limits: its ``json_depth_max`` and ``document_parts_max`` bound the nesting and the number
            of values, in XML too.
    """
    if count_parts(media_type, data) > limits.document_parts_max:
        raise Malformed(f"the document has more than {limits.document_parts_max} parts")
    return _DECODERS[media_type](data, limits.json_depth_max)


def count_parts(media_type: str, data: bytes) -> int:
    """Return how many values a document has at least, unread."""
    return _COUNTS[media_type](data)


def encode(media_type: str, tree: Mapping[str, Any]) -> bytes:
    """Return a document. Values may be Structs, StrEnums and `msgspec.Raw` besides builtins."""
    return _ENCODERS[media_type](tree)


def read(tree: Any, kind: type[_T]) -> _T:
    """Return a tree, or a part of one, as the struct ``kind``; nothing is coerced.

    Raises:
        Malformed: it does not have that form; the message names the member.
    """
    try:
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as error:
        raise Malformed(cleaned(str(error), NOTE_CHARS_MAX)) from error


def request_tree(request: Request) -> Tree:
    """Return a request with its head; members that hold their default are left out."""
    return {
        "type": request.__struct_config__.tag,
        "protocol": PROTOCOL_VERSION,
        "model": Model(),
        **_members(request),
    }


def answer_tree(answer: Answer) -> Tree:
    """Return an answer with its head; text for people is made fit to stand in a document."""
    if isinstance(answer, ErrorAnswer):
        status = "error"
    else:
        status = "not supported" if isinstance(answer, UnsupportedAnswer) else "success"
    members = _members(answer)
    if "message" in members:
        members["message"] = cleaned(members["message"], NOTE_CHARS_MAX)
    return {"status": status, "protocol": PROTOCOL_VERSION, "model": Model(), **members}


def read_answer(tree: Tree, expected: type[_A]) -> _A | ErrorAnswer | UnsupportedAnswer:
    """Return an answer as ``expected``, or as the error that it is.

    An error code that this version does not know becomes ``unexpected``. The versions of a
    success must be ours; those of an error need not.

    Raises:
        Malformed: it is no answer document, or one of another kind.
    """
    head = read(tree, AnswerHead)
    if head.status == "error":
        error = read(tree, ErrorAnswer)
        known = error.code in ErrorCode.__members__.values()
        return error if known else msgspec.structs.replace(error, code=ErrorCode.UNEXPECTED.value)
    if head.status == "not supported":
        return read(tree, UnsupportedAnswer)
    if head.protocol != PROTOCOL_VERSION or head.model != Model():
        raise Malformed("the answer is in another version than the request")
    return read(tree, expected)


def model_tree(post: Post) -> WireModel:
    """Return a post as an item of ``models``; its canonical bytes are passed on unparsed."""
    return WireModel(msgspec.Raw(post.canonical), post.signatures)


def _members(message: Request | Answer) -> Tree:
    """Return the members of a struct that are to be written: a shallow, lazy `to_builtins`."""
    config = message.__struct_config__
    members = msgspec.structs.asdict(cast(msgspec.Struct, message))
    if not config.omit_defaults:
        return members
    required = len(message.__struct_fields__) - len(message.__struct_defaults__)
    defaults = dict(
        zip(message.__struct_fields__[required:], message.__struct_defaults__, strict=True)
    )
    return {
        name: value
        for name, value in members.items()
        if name not in defaults or value != defaults[name]
    }
