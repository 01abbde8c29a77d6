"""Ways to make envelopes that are not in the one spelling, or signed by the wrong keys."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from replicator.node.identity import Identity
from replicator.protocol import codec, envelope
from replicator.protocol.signing import PrivateKey, b64url
from tests.support.hostile.arena import Arena, Case, case, hear, http

BAD: Final = (401, "bad-signature")
TWICE: Final = (400, "malformed")
STALE: Final = (401, "stale")
UNKNOWN: Final = (403, "unknown-sender")
CHANGED: Final = (403, "key-changed")
FORBIDDEN: Final = (403, "forbidden")
REPLAYED: Final = (409, "replayed")
SUCCESS: Final = (200, "success")
PULL: Final = b'{"type":"pull","protocol":"1.0","model":{"name":"post","version":"1.0"}}'
GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
COVERED: Final = (
    "content-digest",
    "content-type",
    "replicator-sender",
    "replicator-recipient",
    "replicator-keys",
)
PARAMETERS: Final = (
    '({names});created={created};nonce="{nonce}";keyid="{key}";alg="ed25519";tag="{tag}"'
)
Fields = dict[str, str]


def changed(name: str, change: Callable[[Fields], Any], expected: tuple[int, str] = BAD) -> Case:
    """Return a case whose fields are changed after they were signed."""

    def make(arena: Arena) -> bytes:
        fields = arena.sign(PULL)
        change(fields)
        return http(fields, PULL)

    return case(name, make, expected)


def putting(field: str, value: str | Callable[[str], str]) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        fields[field] = value if isinstance(value, str) else value(fields[field])

    return change


def doubled(field: str) -> Case:
    def make(arena: Arena) -> bytes:
        pairs = list(arena.sign(PULL).items())
        return http([*pairs, *(pair for pair in pairs if pair[0] == field)], PULL)

    return case(f"{field} twice", make, TWICE)


def missing(field: str, expected: tuple[int, str] = BAD) -> Case:
    return changed(f"no {field}", lambda fields: fields.pop(field), expected)


def made(
    name: str,
    expected: tuple[int, str] = BAD,
    *,
    covered: Sequence[str] = COVERED,
    parameters: str = PARAMETERS,
    more: Mapping[str, str] | None = None,
    **values: str,
) -> Case:
    """Return a case that is truly signed, by the member, over another form of envelope."""

    def make(arena: Arena) -> bytes:
        fields = {**arena.sign(PULL), **(more or {})}
        given = {
            "names": " ".join(f'"{one}"' for one in covered),
            "created": str(int(time.time())),
            "nonce": b64url(secrets.token_bytes(16)),
            "tag": "replicator-request-1",
            **values,
        }
        inputs, signatures = [], []
        for number, (key, _) in enumerate(arena.member.credentials(0).signers, 1):
            mine = parameters.format(**{"key": key.public, **given})
            lines = [f'"{one}": {fields[one]}' for one in covered if one in fields]
            base = "\n".join([*lines, f'"@signature-params": {mine}']).encode()
            inputs.append(f"sig{number}={mine}")
            signatures.append(f"sig{number}=:{base64.b64encode(key.sign(base)).decode()}:")
        fields["signature-input"] = ", ".join(inputs)
        fields["signature"] = ", ".join(signatures)
        return http(fields, PULL)

    return case(name, make, expected)


def sent(name: str, expected: tuple[int, str], **options: Any) -> Case:
    """Return a case in the right form, with options of `Arena.sign` from the arena."""

    def make(arena: Arena) -> bytes:
        given = {key: value(arena) for key, value in options.items()}
        return arena.request(PULL, **given)

    return case(name, make, expected)


def again(name: str, expected: tuple[int, str], second: Callable[[Arena, bytes], bytes]) -> Case:
    """Return a case whose nonce was used a moment ago; ``second`` builds what comes then."""

    def make(arena: Arena) -> bytes:
        nonce = secrets.token_bytes(16)
        hear(arena.site, arena.request(PULL, nonce=nonce, created=arena.now))
        return second(arena, nonce)

    return case(name, make, expected)


def mangled(name: str, change: Callable[[bytes], bytes]) -> Case:
    """Return a case whose first signature's 64 bytes are changed."""

    def make(arena: Arena) -> bytes:
        fields = arena.sign(PULL)
        label, found, rest = fields["signature"].partition(", ")
        raw = base64.b64decode(label.removeprefix("sig1=:").removesuffix(":"))
        fields["signature"] = f"sig1=:{base64.b64encode(change(raw)).decode()}:{found}{rest}"
        return http(fields, PULL)

    return case(name, make, BAD)


def weak_key(name: str, point: bytes) -> Case:
    """Return a request signed under a key that many libraries take any signature of."""

    def make(arena: Arena) -> bytes:
        fields = arena.sign(PULL, sender=replace(arena.member, pool_keys=()))
        mine = arena.member.node_keys[0].public
        key = "ed25519:" + b64url(point)
        signature = point + bytes(32)
        fields = {field: value.replace(mine, key) for field, value in fields.items()}
        fields["signature"] = f"sig1=:{base64.b64encode(signature).decode()}:"
        return http(fields, PULL)

    return case(name, make, BAD)


def more_s(factor: int) -> Callable[[bytes], bytes]:
    def change(signature: bytes) -> bytes:
        s = int.from_bytes(signature[32:], "little") + factor * GROUP_ORDER
        return signature[:32] + s.to_bytes(32, "little")

    return change


def many_keys(keys: int, pools: int) -> Callable[[Arena], Identity]:
    made = tuple(PrivateKey.generate() for _ in range(keys))
    other = tuple(PrivateKey.generate() for _ in range(pools))
    return lambda arena: replace(
        arena.member,
        node_keys=arena.member.node_keys,
        pool_keys=(*arena.member.pool_keys, *made[1:], *other),
    )


def as_member(arena: Arena) -> Identity:
    """Return the member's id with keys of somebody else, and no pool."""
    return replace(arena.stranger, node_id=arena.member.node_id)


def pool_as_node(arena: Arena) -> Identity:
    """Return a node that signs with the pool's key where a node key should be."""
    return replace(arena.stranger, node_keys=arena.member.pool_keys, pool_keys=())


def ourselves(arena: Arena) -> Identity:
    return replace(arena.member, node_id=arena.site.node_id)


def answer_as_request(arena: Arena) -> bytes:
    signed = envelope.sign_answer(
        arena.member.credentials(0),
        arena.site.node_id,
        PULL,
        codec.JSON,
        in_reply_to="0" * 64,
        created=int(time.time()),
        nonce=secrets.token_bytes(16),
    )
    return http({"content-type": codec.JSON, **signed.headers}, PULL)


def reordered(arena: Arena) -> bytes:
    return http(list(reversed(arena.sign(PULL).items())), PULL)


def capitals(arena: Arena) -> bytes:
    return http([(name.upper(), value) for name, value in arena.sign(PULL).items()], PULL)


def hex_digest(value: str) -> str:
    return "sha-256=:" + base64.b64decode(value[9:-1]).hex() + ":"


SHA512 = "sha-512=:" + base64.b64encode(hashlib.sha512(PULL).digest()).decode() + ":"
MD5 = "md5=:" + base64.b64encode(hashlib.md5(PULL, usedforsecurity=False).digest()).decode() + ":"
OTHER_POOL = PrivateKey.generate()
LOOKS_ALIKE = "memb\u0435r.example".encode().decode("latin-1")
