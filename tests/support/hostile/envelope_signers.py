"""Envelopes that come too late or again, or are signed by the wrong keys."""

import time
from dataclasses import replace

from replicator.protocol import codec
from tests.support.hostile.arena import of_kind
from tests.support.hostile.forging import (
    BAD,
    CHANGED,
    FORBIDDEN,
    OTHER_POOL,
    PULL,
    REPLAYED,
    STALE,
    SUCCESS,
    UNKNOWN,
    again,
    as_member,
    changed,
    mangled,
    many_keys,
    more_s,
    ourselves,
    pool_as_node,
    putting,
    sent,
    weak_key,
)

CASES = of_kind(
    "envelope",
    [
        # time and replay
        sent("created 70 s ago", STALE, created=lambda a: int(time.time()) - 70),
        sent("created in 70 s", STALE, created=lambda a: int(time.time()) + 70),
        sent("created 50 s ago", SUCCESS, created=lambda a: int(time.time()) - 50),
        sent("created in 50 s", SUCCESS, created=lambda a: int(time.time()) + 50),
        sent("created in 1970", STALE, created=lambda a: 0),
        sent("created in the year 33658", STALE, created=lambda a: 10**12 - 1),
        again(
            "the same request again", REPLAYED, lambda a, n: a.request(PULL, nonce=n, created=a.now)
        ),
        again(
            "a nonce again, a second later",
            REPLAYED,
            lambda a, n: a.request(PULL, nonce=n, created=a.now + 1),
        ),
        again(
            "a nonce again, with another body",
            REPLAYED,
            lambda a, n: a.request(PULL + b" ", nonce=n),
        ),
        again("a nonce again, in XML", REPLAYED, lambda a, n: a.request(PULL, codec.XML, nonce=n)),
        again(
            "a nonce of somebody else",
            FORBIDDEN,
            lambda a, n: a.request(PULL, nonce=n, sender=a.pinned),
        ),
        # keys
        changed("no keys", putting("replicator-keys", "")),
        changed(
            "a key twice",
            putting("replicator-keys", lambda v: ", ".join([v.partition(", ")[0]] * 2)),
        ),
        changed(
            "keys without roles", putting("replicator-keys", lambda v: v.replace(";role=node", ""))
        ),
        changed(
            "an unknown role",
            putting("replicator-keys", lambda v: v.replace("role=pool", "role=admin")),
        ),
        changed(
            "a role in capitals",
            putting("replicator-keys", lambda v: v.replace("role=node", "role=NODE")),
        ),
        changed(
            "a pool key said to be a node key",
            putting("replicator-keys", lambda v: v.replace("pool", "node")),
        ),
        changed(
            "keys joined without a space",
            putting("replicator-keys", lambda v: v.replace(", ", ",")),
        ),
        changed(
            "a key of RSA", putting("replicator-keys", lambda v: v.replace("ed25519:", "rsa:"))
        ),
        changed(
            "a key in hexadecimal",
            putting("replicator-keys", "ed25519:" + "ab" * 32 + ";role=node"),
        ),
        changed(
            "a key with padding",
            putting("replicator-keys", lambda v: v.replace(";role=node", "=;role=node")),
        ),
        changed(
            "a key with spare bits", putting("replicator-keys", lambda v: v[:50] + "B" + v[51:])
        ),
        changed(
            "a key not signing",
            putting("replicator-keys", lambda v: v + ", ed25519:" + "A" * 43 + ";role=pool"),
        ),
        changed("a signature fewer", putting("signature", lambda v: v.partition(", ")[0])),
        changed(
            "a signature more", putting("signature", lambda v: v + ", sig3=:" + "A" * 86 + "==:")
        ),
        changed(
            "signatures in another order",
            putting("signature", lambda v: ", ".join(v.split(", ")[::-1])),
        ),
        changed(
            "a signature twice",
            putting("signature", lambda v: ", ".join([v.partition(", ")[0]] * 2)),
        ),
        changed(
            "a signature in base64url",
            putting("signature", lambda v: "sig1=:" + "-_" * 43 + "==:" + v[94:]),
        ),
        changed("a signature cut off", putting("signature", lambda v: v[:40] + v[60:])),
        changed("garbage for a signature", putting("signature", "~" * 8000)),
        sent("nine keys", BAD, sender=many_keys(1, 7)),
        sent("eight keys, six of pools nobody knows", SUCCESS, sender=many_keys(1, 6)),
        weak_key("a key that is the neutral point", (1).to_bytes(32, "little")),
        weak_key("a key of order 2", (2**255 - 20).to_bytes(32, "little")),
        weak_key("a key of order 4", bytes(32)),
        weak_key("a key that is no point", (2).to_bytes(32, "little")),
        weak_key("a key beyond the field", (2**255 - 1).to_bytes(32, "little")),
        mangled("S as S + L", more_s(1)),
        mangled("S as S + 7 L", more_s(7)),
        mangled("S of zeros", lambda raw: raw[:32] + bytes(32)),
        mangled("R of the neutral point", lambda raw: (1).to_bytes(32, "little") + raw[32:]),
        mangled("R beyond the field", lambda raw: (2**255 - 18).to_bytes(32, "little") + raw[32:]),
        mangled("a flipped bit", lambda raw: bytes([raw[0] ^ 1]) + raw[1:]),
        mangled("63 bytes", lambda raw: raw[:-1]),
        mangled("zeros", lambda raw: bytes(64)),
        # who
        sent("a stranger", UNKNOWN, sender=lambda a: a.stranger),
        sent("a node that is pinned, in no pool", FORBIDDEN, sender=lambda a: a.pinned),
        sent("a member's id under other keys", CHANGED, sender=as_member),
        sent(
            "a pinned id with the pool's key only",
            CHANGED,
            sender=lambda a: replace(as_member(a), pool_keys=a.member.pool_keys),
        ),
        sent("a stranger whose node key is the pool's", UNKNOWN, sender=pool_as_node),
        sent("this node's own id", FORBIDDEN, sender=ourselves),
        sent("a request for another node", FORBIDDEN, recipient=lambda a: "other.example"),
        sent("a request for a node in capitals", BAD, recipient=lambda a: a.site.node_id.upper()),
        sent(
            "a stranger in a pool nobody knows",
            UNKNOWN,
            sender=lambda a: replace(a.stranger, pool_keys=(OTHER_POOL,)),
        ),
    ],
)
