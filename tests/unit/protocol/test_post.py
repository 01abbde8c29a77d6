"""Content, canonical bytes, digests."""

import hashlib

import pytest
import rfc8785

from replicator.errors import Malformed
from replicator.limits import Limits
from replicator.protocol.post import Attachment, Content, PostSignature, canonical_bytes, post_of

LIMITS = Limits()
KEYS = ["ed25519:" + letter * 42 + "A" for letter in "BCDEFGHIJ"]
SIGNATURES = [PostSignature(key, "A" * 86) for key in KEYS]


def content(**changes) -> Content:
    members = {
        "attachments": (),
        "author": "",
        "id": "a.example/1",
        "published": 0,
        "tags": (),
        "text": "",
        "thread": None,
        "title": "",
    }
    return Content(**members | changes)


def test_the_canonical_form_of_a_small_post_is_known():
    assert canonical_bytes(content(text='"\\/\n\t\x7fé')) == (
        b'{"attachments":[],"author":"","id":"a.example/1","published":0,"tags":[],'
        b'"text":"\\"\\\\/\\n\\t\x7f\xc3\xa9","thread":null,"title":""}'
    )


def test_strings_are_written_as_rfc_8785_says_for_every_code_point():
    points = [*range(0xD800), *range(0xE000, 0x110000)]
    for start in range(0, len(points), 4096):
        text = "".join(map(chr, points[start : start + 4096]))
        expected = rfc8785.dumps(text)
        assert canonical_bytes(content(text=text)).count(expected) == 1, hex(points[start])


def test_a_post_carries_what_follows_from_its_content():
    made = content(published=7, tags=("b", "a"), attachments=(Attachment("0" * 64, "t", "n", 5),))
    post = post_of(made, reversed(SIGNATURES[:3]), LIMITS)
    assert post.content == made
    assert (post.id, post.published, post.size) == ("a.example/1", 7, len(post.canonical))
    assert post.digest == hashlib.sha256(post.canonical).hexdigest()
    assert post.signed_bytes == b"replicator:post:1.0\n" + post.canonical
    assert [signature.key for signature in post.signatures] == KEYS[:3]
    assert post.signed_by(KEYS[0])
    assert not post.signed_by(KEYS[5])


@pytest.mark.parametrize("character", ["\0", "\b", "\f", "\r", "\x1f", "\ufffe", "\uffff"])
@pytest.mark.parametrize("member", ["title", "text", "author"])
def test_a_forbidden_character_is_refused_by_name(member, character):
    with pytest.raises(Malformed, match=f"{member}: character U\\+{ord(character):04X}"):
        post_of(content(**{member: f"ab{character}"}), SIGNATURES[:1], LIMITS)


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": ("\r",)},
        {"attachments": (Attachment("0" * 64, "\0", "n", 5),)},
        {"attachments": (Attachment("0" * 64, "m", "\uffff", 5),)},
        {"text": "\ud800"},
        {"title": "\udfff\ud800"},
        {"tags": ("a", "b", "a")},
        {"tags": ("",)},
        {"tags": ("a" * (LIMITS.tag_chars_max + 1),)},
        {"tags": tuple(map(str, range(LIMITS.post_tags_max + 1)))},
        {"attachments": (Attachment("0" * 64, "", "", 0),) * (LIMITS.post_attachments_max + 1)},
        {"text": "x" * LIMITS.post_bytes_max},
        {"text": "\x7f\u20ac" * (LIMITS.post_bytes_max // 4)},
    ],
)
def test_content_beyond_its_bounds_is_refused(changes):
    with pytest.raises(Malformed):
        post_of(content(**changes), SIGNATURES[:1], LIMITS)


@pytest.mark.parametrize(
    "text", ["\\b \\u0000", "\x7f\x85\u2028\u2029\ufeff\ufffd", "e\u0301", "é", "😀", "\\ud800"]
)
def test_every_other_text_stays_as_it_is(text):
    assert post_of(content(text=text), SIGNATURES[:1], LIMITS).content.text == text


@pytest.mark.parametrize(
    "signatures", [[], SIGNATURES, [SIGNATURES[0], PostSignature(KEYS[0], "A" * 85 + "Q")]]
)
def test_signatures_are_one_to_eight_of_distinct_keys(signatures):
    with pytest.raises(Malformed, match="signatures"):
        post_of(content(), signatures, LIMITS)


def test_a_post_of_the_greatest_size_is_taken():
    room = LIMITS.post_bytes_max - len(canonical_bytes(content()))
    assert post_of(content(text="x" * room), SIGNATURES[:8], LIMITS).size == LIMITS.post_bytes_max
