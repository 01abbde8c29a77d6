"""Items that are no posts, posts that are not their origin's, and posts in XML."""

from collections.abc import Callable

from replicator.protocol import codec
from tests.support.hostile.arena import Arena, Case, case, of_kind
from tests.support.hostile.posts import (
    BAD,
    DOCUMENT,
    HEAD,
    MALFORMED,
    NFC,
    NFD,
    ORIGIN,
    ORIGIN_ID,
    PLAIN,
    TAKEN,
    TOO_LARGE,
    doubled,
    equivocation,
    forged,
    keys_of,
    many_keys,
    more_s,
    neutral,
    one_item,
    put,
    signed,
)


def _in_xml(name: str, change: Callable[[bytes], bytes], *expected: tuple[int, str]) -> Case:
    def make(arena: Arena) -> bytes:
        content = {**PLAIN, "id": f"{ORIGIN_ID}/xml", "tags": ["a"]}
        tree = {**HEAD, "models": [signed(content, keys_of(arena.member))]}
        return arena.request(change(codec.encode(codec.XML, tree)), codec.XML)

    return case(name, make, *expected)


def _swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old, new, 1)


CASES = of_kind(
    "content",
    [
        # the item
        one_item("an item that is null", MALFORMED, lambda item, _: None),
        one_item("an item that is text", MALFORMED, lambda item, _: "post"),
        one_item("an item that is a list", MALFORMED, lambda item, _: [item]),
        one_item("content only", MALFORMED, lambda item, _: {"content": item["content"]}),
        one_item("no signatures", MALFORMED, lambda item, _: {**item, "signatures": []}),
        one_item(
            "an unknown member beside content", MALFORMED, lambda item, _: {**item, "extra": 1}
        ),
        one_item(
            "an unknown member in a signature",
            MALFORMED,
            lambda item, _: {**item, "signatures": [{**item["signatures"][0], "alg": "none"}]},
        ),
        one_item(
            "a signature of 85 characters",
            MALFORMED,
            lambda item, _: {**item, "signatures": [{**item["signatures"][0], "value": "A" * 85}]},
        ),
        one_item(
            "a signature with spare bits",
            MALFORMED,
            lambda item, _: {
                **item,
                "signatures": [{**item["signatures"][0], "value": "A" * 85 + "B"}],
            },
        ),
        one_item(
            "a key of RSA",
            MALFORMED,
            lambda item, _: {
                **item,
                "signatures": [{**item["signatures"][0], "key": "rsa:" + "A" * 43}],
            },
        ),
        one_item(
            "a key with padding",
            MALFORMED,
            lambda item, _: {
                **item,
                "signatures": [
                    {**item["signatures"][0], "key": item["signatures"][0]["key"] + "="}
                ],
            },
        ),
        case("a key that signs twice", doubled, MALFORMED),
        forged("nine signatures", MALFORMED, f"{ORIGIN_ID}/hostile", many_keys(8)),
        # signatures
        one_item(
            "a text changed after signing",
            BAD,
            lambda item, _: {**item, "content": {**item["content"], "text": "other"}},
        ),
        one_item(
            "a text in another normal form than signed",
            BAD,
            lambda item, _: {
                **signed({**PLAIN, "text": NFC}, keys_of(_.member)),
                "content": {**PLAIN, "text": NFD},
            },
        ),
        one_item(
            "tags in another order than signed",
            BAD,
            lambda item, _: {
                **signed({**PLAIN, "tags": ["a", "b"]}, keys_of(_.member)),
                "content": {**PLAIN, "tags": ["b", "a"]},
            },
        ),
        one_item(
            "zeros for a signature",
            BAD,
            lambda item, _: {**item, "signatures": [{**item["signatures"][0], "value": "A" * 86}]},
        ),
        one_item("S that is the group's order", BAD, more_s),
        one_item("one more signature, of the neutral point", BAD, neutral),
        one_item(
            "signatures of one another's keys",
            BAD,
            lambda item, _: {
                **item,
                "signatures": [
                    {**one, "key": other["key"]}
                    for one, other in zip(item["signatures"], item["signatures"][::-1], strict=True)
                ],
            },
        ),
        # origin
        forged(
            "a known origin's post by a stranger's key",
            ORIGIN,
            f"{ORIGIN_ID}/forged",
            lambda a: a.stranger.node_keys,
        ),
        forged(
            "a known origin's post by the pool's key",
            ORIGIN,
            f"{ORIGIN_ID}/forged",
            lambda a: a.member.pool_keys,
        ),
        forged(
            "this node's post by the pool's key",
            ORIGIN,
            "node1.test/forged",
            lambda a: a.member.pool_keys,
        ),
        forged(
            "this node's post by the member",
            ORIGIN,
            "node1.test/forged",
            lambda a: keys_of(a.member),
        ),
        forged(
            "a post of our pool by a pinned node, relayed",
            ORIGIN,
            "pinned.example/forged",
            lambda a: a.member.pool_keys,
        ),
        forged(
            "a member's post in no pool",
            (200, "refused not-in-pool"),
            f"{ORIGIN_ID}/nowhere",
            lambda a: a.member.node_keys,
        ),
        forged(
            "a post of an unknown origin",
            (200, "refused unknown-origin"),
            "unknown.example/1",
            lambda a: a.stranger.node_keys,
        ),
        case("another content under an id that is held, forged", equivocation, ORIGIN),
        # of many
        case(
            "a good post among bad ones",
            lambda a: put(a, None, *a.posts[:1], 1, {}, "x"),
            (200, "refused malformed,known,refused malformed,refused malformed,refused malformed"),
        ),
        case(
            "the same post 500 times",
            lambda a: put(a, *([a.posts[0]] * 500)),
            (200, ",".join(["known"] * 500)),
        ),
        case("501 posts", lambda a: put(a, *([a.posts[0]] * 501)), TOO_LARGE),
        case("50,000 items that are no posts", lambda a: put(a, *([0] * 50_000)), TOO_LARGE),
        case(
            "100,000 items that are no posts",
            lambda a: put(a, *([0] * 100_000)),
            (400, "malformed"),
        ),
        case(
            "500 items that are no posts",
            lambda a: put(a, *([0] * 500)),
            (200, ",".join(["refused malformed"] * 500)),
        ),
    ],
)
CASES += of_kind(
    "content in XML",
    [
        _in_xml("a post of the member", lambda body: body, *TAKEN),
        _in_xml("white space in a text", _swap(b"<text>text", b"<text> text"), BAD),
        _in_xml("CDATA in a text", _swap(b"<text>text", b"<text><![CDATA[text]]>"), *TAKEN),
        _in_xml("a CR LF where an LF was signed", _swap(b"<text>text", b"<text>te\r\nxt"), BAD),
        _in_xml("no title", _swap(b"<title></title>", b""), MALFORMED),
        _in_xml("an unknown member", _swap(b"<title>", b"<extra/><title>"), MALFORMED),
        _in_xml("a title twice", _swap(b"<title>", b"<title/><title>"), DOCUMENT),
        _in_xml("an empty thread", _swap(b"<title>", b"<thread/><title>"), MALFORMED),
        _in_xml("markup in a text", _swap(b"<text>text", b"<text><b>text</b>"), DOCUMENT),
        _in_xml("a tag that is no item", _swap(b"<item>a</item>", b"<tag>a</tag>"), DOCUMENT),
        _in_xml("published with a sign", _swap(b"<published>", b"<published>+"), DOCUMENT),
        _in_xml(
            "published as a fraction", _swap(b"000</published>", b"000.0</published>"), DOCUMENT
        ),
    ],
)
