"""Write the test vectors of protocol 1.0: ``python tests/vectors/make.py``.

Keys, nonces and times are fixed, and Ed25519 signatures are deterministic, so the files come out
the same every time; a conformance test compares them with the committed ones and verifies those
independently. A change of a committed vector is a change of the protocol.
"""

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from replicator.limits import Limits
from replicator.protocol import announcement, codec, envelope, http_status, node_document
from replicator.protocol.announcement import AnnouncedKey
from replicator.protocol.envelope import Credentials, Signed
from replicator.protocol.messages import (
    REQUEST_TYPES,
    Answer,
    ErrorAnswer,
    Filter,
    Get,
    GetAnswer,
    Missing,
    Model,
    Pull,
    PullAnswer,
    Put,
    PutAnswer,
    PutItem,
    PutResult,
    Reconcile,
    ReconcileAnswer,
    Request,
    Roster,
    RosterAnswer,
    UnsupportedAnswer,
)
from replicator.protocol.post import Attachment, Content, Post
from replicator.protocol.signing import PrivateKey, b64url, fingerprint, sign_post
from replicator.rules import negentropy
from replicator.rules.negentropy import SortedItems

HERE = Path(__file__).parent
LIMITS = Limits()
CREATED = 1_767_225_600
"""2026-01-01T00:00:00Z, in seconds."""

ALICE, BOB = "alice.example", "bob.example"
TYPES = {"json": codec.JSON, "xml": codec.XML}


def seed(name: str) -> bytes:
    return hashlib.sha256(f"replicator test vector: {name}".encode()).digest()


def private_key(name: str) -> PrivateKey:
    return PrivateKey(Ed25519PrivateKey.from_private_bytes(seed(name)))


def nonce(name: str) -> bytes:
    return seed(f"nonce of {name}")[:16]


ALICE_KEY, BOB_KEY, POOL_KEY = map(private_key, (ALICE, BOB, "pool"))
CREDENTIALS = {
    ALICE: Credentials(ALICE, ((ALICE_KEY, "node"), (POOL_KEY, "pool"))),
    BOB: Credentials(BOB, ((BOB_KEY, "node"), (POOL_KEY, "pool"))),
}

# --- posts ---------------------------------------------------------------------------------------


def content(**changes: Any) -> Content:
    members: dict[str, Any] = {
        "attachments": (),
        "author": "",
        "id": "alice.example/1",
        "published": 1_767_225_600_000,
        "tags": (),
        "text": "",
        "thread": None,
        "title": "",
    }
    return Content(**members | changes)


FIRST = content(
    author="Anna", tags=("news", "größer"), text="Hello, <world> & all!\n\tTwo lines.", title="Hi"
)
REPLY = content(
    id="alice.example/2",
    published=1_767_225_601_000,
    thread="alice.example/1",
    text="  exact white space \n",
    attachments=(Attachment("00" * 31 + "ff", "image/png", "map.png", 2**53 - 1),),
)
ODD = content(
    id="a-b.c--d.0/~._-",
    published=0,
    author="\x7f\x80\x85\xa0",
    text='"\\/\t\n \u2028\u2029\ufeff\ufffd\ue000 e\u0301 \u00e9 \U0001f600\U0010ffff \\u0000 \\r',
    title="]]> &amp; <![CDATA[",
)
POSTS = {
    "first": sign_post(FIRST, [ALICE_KEY, POOL_KEY], LIMITS),
    "reply": sign_post(REPLY, [ALICE_KEY, POOL_KEY], LIMITS),
    "smallest": sign_post(content(id="0/0", published=0), [BOB_KEY], LIMITS),
    "odd": sign_post(ODD, [BOB_KEY, POOL_KEY], LIMITS),
}


def post_vector(name: str, post: Post) -> dict[str, Any]:
    return {
        "name": name,
        "content": msgspec.to_builtins(post.content),
        "canonical": post.canonical.decode(),
        "size": post.size,
        "digest": post.digest,
        "signatures": msgspec.to_builtins(post.signatures),
    }


# --- node documents ------------------------------------------------------------------------------


def document_of(node: str, key: PrivateKey, **changes: Any) -> codec.Tree:
    """Return a signed node document of a member of the pool, as a tree."""
    members: dict[str, Any] = {
        "id": node,
        "keys": (key.public,),
        "pools": (POOL_KEY.public,),
        "protocols": ("1.0",),
        "models": (Model(),),
        "types": ("pull", "get", "put"),
        "features": (),
        "limits": node_document.limits_of(LIMITS),
        "addresses": (f"https://{node}:8470",),
        "time": CREATED * 1000,
    }
    document = node_document.NodeDocument(**members | changes)
    return node_document.make(document, (key, POOL_KEY))


PLAIN = document_of(BOB, BOB_KEY)
WITH_EXTENSIONS = document_of(BOB, BOB_KEY, types=REQUEST_TYPES, floor=1_735_689_600_000)


# A rotation under way: the new key and the one before it sign, an older one was taken back
NEXT_KEY, LOST_KEY = private_key("next"), private_key("lost")
ROTATING = announcement.Announcement(
    id=BOB,
    serial=2,
    keys=(
        AnnouncedKey(NEXT_KEY.public, "current"),
        AnnouncedKey(BOB_KEY.public, "current", CREATED * 1000 + 14 * 86_400_000),
        AnnouncedKey(LOST_KEY.public, "revoked"),
    ),
)
ROTATING_TREE = announcement.sign(ROTATING, (NEXT_KEY, BOB_KEY, LOST_KEY))
ANNOUNCING = node_document.make(
    node_document.NodeDocument(
        id=BOB,
        keys=(NEXT_KEY.public, BOB_KEY.public),
        pools=(),
        protocols=("1.0",),
        models=(Model(),),
        types=("pull", "get", "put"),
        features=(),
        limits=node_document.limits_of(LIMITS),
        addresses=(),
        time=CREATED * 1000,
        announcement=ROTATING_TREE,
    ),
    (NEXT_KEY, BOB_KEY),
)


def signed_keys(said: dict[str, Any], *keys: PrivateKey) -> codec.Tree:
    """Return any announcement signed, also one that does not count."""
    data = announcement.SIGNING_LABEL + msgspec.json.encode(said, order="sorted")
    signatures = [{"key": key.public, "value": b64url(key.sign(data))} for key in keys]
    return {"announcement": said, "signatures": signatures}


def announcements() -> list[dict[str, Any]]:
    said: dict[str, Any] = ROTATING_TREE["announcement"]
    newest, before, lost = said["node_keys"]
    current = {"key": newest["key"], "state": "current"}
    every = (NEXT_KEY, BOB_KEY, LOST_KEY)
    changed = signed_keys(said, *every) | {"announcement": said | {"serial": 3}}
    others: list[tuple[str, bool, codec.Tree]] = [
        ("rotating", True, ROTATING_TREE),
        ("no further signer", True, signed_keys(said, NEXT_KEY, BOB_KEY)),
        ("a member of a later version", True, signed_keys(said | {"later": "x"}, *every)),
        ("a current key does not sign", False, signed_keys(said, NEXT_KEY, LOST_KEY)),
        ("changed after it was signed", False, changed),
        (
            "a key twice",
            False,
            signed_keys(said | {"node_keys": [current, current]}, NEXT_KEY),
        ),
        (
            "no current key",
            False,
            signed_keys(said | {"node_keys": [lost]}, LOST_KEY),
        ),
        (
            "until on a retired key",
            False,
            signed_keys(said | {"node_keys": [newest, before | {"state": "retired"}]}, NEXT_KEY),
        ),
        (
            "signed by a key that is not listed",
            False,
            signed_keys(said | {"node_keys": [newest]}, NEXT_KEY, BOB_KEY),
        ),
        (
            "an unknown state",
            False,
            signed_keys(said | {"node_keys": [newest, lost | {"state": "lost"}]}, NEXT_KEY),
        ),
    ]
    return [
        {
            "name": name,
            "counts": counts,
            "canonical": msgspec.json.encode(tree["announcement"], order="sorted").decode(),
            "signed": tree,
        }
        for name, counts, tree in others
    ]


def node_documents() -> list[dict[str, Any]]:
    return [
        {
            "name": f"{name}-{encoding}",
            "media_type": media_type,
            "canonical": msgspec.json.encode(tree["document"], order="sorted").decode(),
            "body": codec.encode(media_type, tree).decode(),
        }
        for name, tree in (
            ("plain", PLAIN),
            ("extensions", WITH_EXTENSIONS),
            ("announcing", ANNOUNCING),
        )
        for encoding, media_type in TYPES.items()
    ]


# --- messages ------------------------------------------------------------------------------------

MODELS = tuple(codec.model_tree(POSTS[name]) for name in ("first", "reply"))
REFS = tuple(POSTS[name].ref for name in ("first", "reply"))
CURSOR = "q83vEjRWeJAAAAAAAAAAAg7_AAAAAAAA"
ABSENT = "5e" * 32

ITEMS = {
    name: SortedItems((post.published, bytes.fromhex(post.digest)) for post in posts)
    for name, posts in {
        ALICE: (POSTS["first"].ref,),
        BOB: (POSTS["first"].ref, POSTS["reply"].ref),
    }.items()
}
QUESTION = negentropy.initiate(ITEMS[ALICE])
ANSWER = negentropy.respond(ITEMS[BOB], QUESTION)


@dataclass(frozen=True)
class Exchange:
    """A request of alice's and bob's answer to it."""

    name: str
    request: Request | dict[str, Any]
    answer: Answer


EXCHANGES = [
    Exchange("pull-all", Pull(), PullAnswer(refs=REFS, cursor=CURSOR)),
    Exchange(
        "pull-filtered",
        Pull(
            filter=Filter(
                nodes=(ALICE,),
                since=1_767_225_600_000,
                until=2**53 - 1,
                tags=("news", "größer"),
                threads=("alice.example/1",),
            ),
            scope=POOL_KEY.public,
            after=CURSOR,
            limit=2,
            want="models",
        ),
        PullAnswer(models=MODELS, cursor=CURSOR, more=True),
    ),
    Exchange(
        "get",
        Get(ids=("alice.example/1",), digests=(POSTS["reply"].digest, ABSENT)),
        GetAnswer(models=MODELS, missing=(Missing(digest=ABSENT, declined=True),)),
    ),
    Exchange(
        "put-models",
        Put(models=MODELS),
        PutAnswer(
            items=(
                PutItem(PutResult.STORED, REFS[0].digest),
                PutItem(PutResult.REFUSED, REFS[1].digest, "bad-signature"),
            )
        ),
    ),
    Exchange(
        "put-refs",
        Put(refs=REFS),
        PutAnswer(
            items=(
                PutItem(PutResult.KNOWN, REFS[0].digest),
                PutItem(PutResult.WANTED, REFS[1].digest),
            )
        ),
    ),
    Exchange(
        "version-mismatch",
        codec.request_tree(Pull()) | {"protocol": "2.0"},
        ErrorAnswer(
            code="version-mismatch",
            message="protocol '2.0' is not spoken here, 1.0 is",
            versions=("1.0",),
            model_versions=("1.0",),
        ),
    ),
    Exchange(
        "not-supported",
        codec.request_tree(Pull()) | {"type": "dance"},
        UnsupportedAnswer(
            message="request type 'dance'; known: pull, get, put", types=("pull", "get", "put")
        ),
    ),
    Exchange(
        "stale",
        Get(ids=("alice.example/1",)),
        ErrorAnswer(code="stale", message="signed 7200 s away", time=1_767_232_800_000),
    ),
    Exchange(
        "busy",
        Get(ids=("alice.example/1",)),
        ErrorAnswer(code="busy", message="try again", retry_after=5),
    ),
    Exchange(
        "pull-remaining",
        Pull(after=CURSOR, limit=2),
        PullAnswer(refs=REFS, cursor=CURSOR, more=True, remaining=2**53 - 1),
    ),
    Exchange(
        "get-refs",
        Get(digests=(REFS[0].digest, ABSENT), want="refs"),
        GetAnswer(refs=REFS[:1], missing=(Missing(digest=ABSENT),)),
    ),
    Exchange(
        "put-later",
        Put(refs=REFS),
        PutAnswer(
            items=(
                PutItem(PutResult.LATER, REFS[0].digest),
                PutItem(PutResult.REFUSED, REFS[1].digest, "expired"),
            )
        ),
    ),
    Exchange(
        "reconcile",
        Reconcile(scope=POOL_KEY.public, since=0, frame=b64url(QUESTION)),
        ReconcileAnswer(since=0, frame=b64url(ANSWER)),
    ),
    Exchange(
        "reconcile-floor",
        Reconcile(scope=POOL_KEY.public, since=0, frame=b64url(QUESTION)),
        ReconcileAnswer(since=1_735_689_600_000),
    ),
    Exchange(
        "roster",
        Roster(scope=POOL_KEY.public, introduction=document_of(ALICE, ALICE_KEY)),
        RosterAnswer(introductions=(WITH_EXTENSIONS,), more=True),
    ),
    Exchange(
        "roster-end",
        Roster(scope=POOL_KEY.public, after=BOB),
        RosterAnswer(introductions=()),
    ),
]


def stored_gzip(body: bytes) -> bytes:
    """Return a gzip member with one stored block: the same bytes whatever library writes it."""
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + struct.pack("<BHH", 1, len(body), len(body) ^ 0xFFFF)
    return head + body + struct.pack("<II", zlib.crc32(body), len(body))


def message_vector(body: bytes, wire_body: bytes, signed: Signed) -> dict[str, Any]:
    bases = envelope.parse(signed.headers, LIMITS).bases
    wire = {"wire_base64": base64.b64encode(wire_body).decode()} if wire_body != body else {}
    return {
        "headers": signed.headers,
        "body": body.decode(),
        **wire,
        "signature_bases": [base.decode() for base in bases],
        "base_digest": signed.base_digest,
    }


def exchange_vector(exchange: Exchange, encoding: str, *, compressed: bool) -> dict[str, Any]:
    request, answer = exchange.request, codec.answer_tree(exchange.answer)
    tree = request if isinstance(request, dict) else codec.request_tree(request)
    media_type = TYPES[encoding]
    bodies = [codec.encode(media_type, document) for document in (tree, answer)]
    wires = [stored_gzip(body) if compressed else body for body in bodies]
    name = f"{exchange.name}-{encoding}" + ("-gzip" if compressed else "")
    extra: dict[str, Any] = {"content_encoding": "gzip" if compressed else None}
    asked = envelope.sign_request(
        CREDENTIALS[ALICE], BOB, wires[0], media_type,
        created=CREATED, nonce=nonce(f"request {name}"), **extra,
    )  # fmt: skip
    answered = envelope.sign_answer(
        CREDENTIALS[BOB], ALICE, wires[1], media_type, in_reply_to=asked.base_digest,
        created=CREATED + 1, nonce=nonce(f"answer {name}"), **extra,
    )  # fmt: skip
    return {
        "name": name,
        "request": message_vector(bodies[0], wires[0], asked),
        "answer": {
            "status": http_status.of(exchange.answer),
            **message_vector(bodies[1], wires[1], answered),
        },
    }


def exchanges() -> Iterator[dict[str, Any]]:
    for exchange in EXCHANGES:
        for encoding in TYPES:
            yield exchange_vector(exchange, encoding, compressed=False)
    for encoding in TYPES:
        yield exchange_vector(EXCHANGES[3], encoding, compressed=True)


# --- documents that everybody refuses ------------------------------------------------------------

MALFORMED = [
    ("json", "a member given twice", '{"type":"pull","type":"pull"}'),
    ("json", "a member given twice, escaped", '{"type":"pull","\\u0074ype":"pull"}'),
    ("json", "a fraction", '{"type":"pull","limit":1.0}'),
    ("json", "an exponent", '{"type":"pull","limit":1e2}'),
    ("json", "a negative number", '{"type":"pull","limit":-1}'),
    ("json", "minus zero", '{"type":"pull","limit":-0}'),
    ("json", "2 to the 53", '{"type":"pull","limit":9007199254740992}'),
    ("json", "a number for nobody", '{"type":"pull","unknown":1e999}'),
    ("json", "half of a surrogate pair", '{"type":"\\ud800"}'),
    ("json", "U+0000", '{"type":"\\u0000"}'),
    ("json", "U+000D", '{"type":"a\\r"}'),
    ("json", "U+FFFF", '{"type":"\uffff"}'),
    ("json", "a byte order mark", '\ufeff{"type":"pull"}'),
    ("json", "data after the document", '{"type":"pull"}{}'),
    ("json", "a comma too many", '{"type":"pull",}'),
    ("json", "no object", '["pull"]'),
    ("json", "too deep", '{"type":"pull","x":' + "[" * 40 + "]" * 40 + "}"),
    ("xml", "a document type", "<!DOCTYPE request><request><type>pull</type></request>"),
    (
        "xml",
        "an entity",
        '<!DOCTYPE r [<!ENTITY e "x">]><request><type>&e;</type></request>',
    ),
    ("xml", "an entity without declaration", "<request><type>&e;</type></request>"),
    ("xml", "an attribute", '<request><type a="1">pull</type></request>'),
    ("xml", "a namespace", '<request xmlns="urn:x"><type>pull</type></request>'),
    ("xml", "a comment", "<request><!-- --><type>pull</type></request>"),
    ("xml", "a processing instruction", "<request><?x y?><type>pull</type></request>"),
    ("xml", "another version", '<?xml version="1.1"?><request><type>pull</type></request>'),
    ("xml", "another root", "<answer><type>pull</type></answer>"),
    ("xml", "an element given twice", "<request><type>a</type><type>a</type></request>"),
    ("xml", "text between elements", "<request>x<type>pull</type></request>"),
    ("xml", "elements in text", "<request><type><b>pull</b></type></request>"),
    ("xml", "a list of something else", "<request><type/><ids><id>a/1</id></ids></request>"),
    ("xml", "white space in a number", "<request><type/><limit> 1</limit></request>"),
    ("xml", "a leading zero", "<request><type/><limit>01</limit></request>"),
    ("xml", "2 to the 53", "<request><type/><limit>9007199254740992</limit></request>"),
    ("xml", "a capital boolean", "<answer><status/><more>True</more></answer>"),
    ("xml", "U+000D", "<request><type>a&#13;</type></request>"),
    ("xml", "a byte order mark", "\ufeff<request><type>pull</type></request>"),
    ("xml", "data after the document", "<request><type>pull</type></request>x"),
]


# --- files ---------------------------------------------------------------------------------------


def vectors() -> dict[str, Any]:
    """Return every file's name and what is in it."""
    names = {ALICE: ALICE_KEY, BOB: BOB_KEY, "pool": POOL_KEY}
    keys = [
        {
            "name": name,
            "seed_hex": seed(name).hex(),
            "public": key.public,
            "fingerprint": fingerprint(key.public),
        }
        for name, key in names.items()
    ]
    return {
        "keys.json": keys,
        "posts.json": [post_vector(name, post) for name, post in POSTS.items()],
        "exchanges.json": list(exchanges()),
        "node_documents.json": node_documents(),
        "announcements.json": announcements(),
        "malformed.json": [
            {"media_type": TYPES[encoding], "why": why, "document": document}
            for encoding, why, document in MALFORMED
        ],
    }


def text_of(value: Any) -> str:
    """Return the text of a file: readable, ASCII, ending in a line feed."""
    return json.dumps(value, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for file_name, value in vectors().items():
        (HERE / file_name).write_text(text_of(value), encoding="ascii")
