"""All targets by name."""

from typing import Final

from tests.fuzz import documents, envelopes, posts, reconciling, signed, words
from tests.fuzz.target import Target

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        documents.JSON,
        documents.XML,
        signed.SIGNED,
        posts.CONTENT,
        envelopes.ENVELOPE,
        reconciling.FRAME,
        reconciling.TALK,
        words.IDS,
        words.CURSOR,
        words.GZIP,
        words.MEDIA,
    )
}
