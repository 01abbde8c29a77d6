"""Envelopes that are not in the one spelling."""

from replicator.protocol import codec
from tests.support.hostile.arena import case, http, of_kind
from tests.support.hostile.forging import (
    BAD,
    COVERED,
    FORBIDDEN,
    LOOKS_ALIKE,
    MD5,
    PARAMETERS,
    PULL,
    SHA512,
    SUCCESS,
    TWICE,
    answer_as_request,
    capitals,
    changed,
    doubled,
    hex_digest,
    made,
    missing,
    putting,
    reordered,
)

CASES = of_kind(
    "envelope",
    [
        # fields
        *map(missing, COVERED[2:]),
        missing("content-digest"),
        missing("content-type", (415, "unsupported-media-type")),
        missing("signature"),
        missing("signature-input"),
        *map(doubled, (*COVERED, "signature", "signature-input")),
        case("fields in another order", reordered, SUCCESS),
        case("names of fields in capitals", capitals, SUCCESS),
        changed(
            "no signature at all", lambda fields: fields.clear(), (415, "unsupported-media-type")
        ),
        changed("an unsigned pull", lambda f: [f.pop(n) for n in [*f] if n != "content-type"]),
        changed("an empty sender", putting("replicator-sender", "")),
        changed("a sender in capitals", putting("replicator-sender", str.upper)),
        changed("a sender that looks alike", putting("replicator-sender", LOOKS_ALIKE), TWICE),
        changed("a sender with a dot at its end", putting("replicator-sender", lambda v: v + ".")),
        changed("a sender of 10,000 characters", putting("replicator-sender", "a" * 10_000)),
        changed("two senders in one field", putting("replicator-sender", lambda v: f"{v}, {v}")),
        changed("another sender than signed", putting("replicator-sender", "other.example")),
        changed(
            "another recipient than signed",
            putting("replicator-recipient", "other.example"),
            FORBIDDEN,
        ),
        changed("a field of answers", lambda f: f.update({"replicator-in-reply-to": "0" * 64})),
        changed("a field that is not covered", lambda f: f.update({"x-more": "1"}), SUCCESS),
        changed("an unknown field of ours", lambda f: f.update({"replicator-more": "1"}), SUCCESS),
        # digest
        changed(
            "a digest of something else", putting("content-digest", "sha-256=:" + "A" * 43 + "=:")
        ),
        changed("a digest in hexadecimal", putting("content-digest", hex_digest)),
        changed(
            "a digest in capitals", putting("content-digest", lambda v: v.replace("sha", "SHA"))
        ),
        changed("a digest by SHA-512", putting("content-digest", SHA512)),
        changed("a digest by MD5", putting("content-digest", MD5)),
        changed("two digests", putting("content-digest", lambda v: f"{v}, {SHA512}")),
        changed("a digest with spare bits", putting("content-digest", lambda v: v[:-3] + "B=:")),
        changed("an empty digest", putting("content-digest", "sha-256=::")),
        made("a truly signed SHA-512 digest", more={"content-digest": SHA512}),
        case("another body than signed", lambda a: http(a.sign(PULL), PULL + b" "), BAD),
        case("no body where one was signed", lambda a: http(a.sign(PULL), b""), BAD),
        # media type
        changed("another media type than signed", putting("content-type", codec.XML)),
        changed(
            "a media type of text",
            putting("content-type", "text/plain"),
            (415, "unsupported-media-type"),
        ),
        changed(
            "a media type with another charset",
            putting("content-type", "application/json; charset=utf-16"),
            (415, "unsupported-media-type"),
        ),
        changed(
            "a media type of a form",
            putting("content-type", "application/x-www-form-urlencoded"),
            (415, "unsupported-media-type"),
        ),
        # parameters
        made("covered fields in another order", covered=COVERED[::-1]),
        made(
            "a field not covered: the sender",
            covered=[c for c in COVERED if c != "replicator-sender"],
        ),
        made(
            "a field not covered: the recipient",
            covered=[c for c in COVERED if c != "replicator-recipient"],
        ),
        made("a field not covered: the digest", covered=COVERED[1:]),
        made("a field not covered: the keys", covered=COVERED[:-1]),
        made("nothing covered", covered=()),
        made("more covered", covered=(*COVERED, "x-more"), more={"x-more": "1"}),
        made("a derived component covered", covered=(*COVERED, "@method")),
        made("a field covered twice", covered=(*COVERED, "content-digest")),
        made("one more parameter", parameters=PARAMETERS + ";expires=9999999999"),
        made("a parameter twice", parameters=PARAMETERS + ';alg="ed25519"'),
        made(
            "parameters in another order",
            parameters='({names});nonce="{nonce}";created={created};keyid="{key}";alg="ed25519";tag="{tag}"',
        ),
        made(
            "no created",
            parameters='({names});nonce="{nonce}";keyid="{key}";alg="ed25519";tag="{tag}"',
        ),
        made(
            "no nonce",
            parameters='({names});created={created};keyid="{key}";alg="ed25519";tag="{tag}"',
        ),
        made(
            "no key id",
            parameters='({names});created={created};nonce="{nonce}";alg="ed25519";tag="{tag}"',
        ),
        made(
            "no algorithm",
            parameters='({names});created={created};nonce="{nonce}";keyid="{key}";tag="{tag}"',
        ),
        made(
            "no tag",
            parameters='({names});created={created};nonce="{nonce}";keyid="{key}";alg="ed25519"',
        ),
        *(
            made(f"the algorithm {alg}", parameters=PARAMETERS.replace("ed25519", alg))
            for alg in (
                "none",
                "hmac-sha256",
                "rsa-v1_5-sha256",
                "rsa-pss-sha512",
                "ecdsa-p256-sha256",
                "ED25519",
                "ed448",
                "ed25519ph",
            )
        ),
        made("a space between parameters", parameters=PARAMETERS.replace(";created", "; created")),
        made("another tag", tag="replicator-request-2"),
        made("the tag of another protocol", tag="web-bot-auth"),
        made("the tag of answers", tag="replicator-answer-1"),
        made("a key id that is not listed", key="ed25519:" + "A" * 43),
        made("created as a fraction", created="1767225600.5"),
        made("created below 0", created="-1"),
        made("created with a zero before it", created="01767225600"),
        made("created of 13 digits", created="1767225600000"),
        made("created of 5,000 digits", created="9" * 5000),
        made("a nonce of 21 characters", nonce="A" * 21),
        made("a nonce of 87 characters", nonce="A" * 87),
        made("an empty nonce", nonce=""),
        made("a nonce with padding", nonce="A" * 22 + "=="),
        made("a nonce with a line end", nonce="A" * 21 + "\\n"),
        case("the envelope of an answer", answer_as_request, BAD),
    ],
)
