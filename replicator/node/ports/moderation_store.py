"""Blocks and equivocation as a port: what the operator took out, and who signed two contents.

A block counts from the moment it is committed, in all processes. What it asks for besides is done
in bounded steps by `ModerationStore.apply_blocks`; a kill in between loses nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from replicator.protocol.ids import Digest, GlobalId, NodeId
from replicator.protocol.post import Post, Ref

BlockKind = Literal["digest", "id", "node"]


@dataclass(frozen=True, slots=True, order=True)
class BlockName:
    """What is blocked.

    Args:
        kind: one content (``digest``), all contents of an id, or all posts of a ``node``.
        value: the digest, the global id or the node id.
    """

    kind: BlockKind
    value: str

    def __str__(self) -> str:
        return f"node:{self.value}" if self.kind == "node" else self.value


@dataclass(frozen=True, slots=True)
class Block:
    """A block as it stands; ``blocked_at`` in ms. ``done``: no post of it is held any more."""

    name: BlockName
    reason: str
    blocked_at: int
    done: bool = True


@dataclass(frozen=True, slots=True)
class Covered:
    """What names stand for here: posts held, and digests remembered because of blocks."""

    posts: int = 0
    remembered: int = 0


@dataclass(frozen=True, slots=True)
class Equivocator:
    """An origin that signed two contents under one id; when it was seen first and last (ms).

    Args:
        times: contents beyond the first of an id, of all its ids.
    """

    node: NodeId
    first_at: int
    last_at: int
    times: int


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two authentic contents under one id: whoever has both can verify what the origin did.

    Args:
        id: of both.
        kept: the smaller digest; ``kept_post``: with the signatures it had then; None in evidence
            of old that has it not.
        lost: the post of the larger digest, decided against.
        noted_at: when both were seen (ms).
    """

    id: GlobalId
    kept: Digest
    kept_post: Post | None
    lost: Post
    noted_at: int


@dataclass(frozen=True, slots=True)
class Reopened:
    """What one step of judging anew did.

    Args:
        origin: whose posts were judged.
        digests: what does not count as lost any more.
        place: its turn, for `ModerationStore.end_reopening`.
        found: this step or an earlier one found something.
        ended: nothing of this origin is left.
    """

    origin: NodeId
    digests: tuple[Digest, ...]
    place: int
    found: bool
    ended: bool


class ModerationStore(Protocol):
    """The part of `Store` about blocks and equivocation."""

    def add_blocks(self, names: Collection[BlockName], reason: str, now: int) -> int:
        """Block; return how many were not blocked before. Those that were keep their reason.

        Raises:
            ConfigurationError: more than ``blocks_max`` would stand; nothing was blocked.
        """

    def lift_blocks(self, names: Collection[BlockName]) -> int:
        """Let blocks count no more; return how many of ``names`` were blocked."""

    def apply_blocks(self, now: int) -> int:
        """Do one bounded step of what blocks ask for; 0: there is nothing to do.

        Posts of a new block go, with their log entries, their copies in quarantine and their
        gaps; they are decided against as ``blocked`` and stay in the reconciled sets. What was
        decided by a lifted block, and by no other that counts, is forgotten and leaves the sets,
        as if it had never been seen.
        """

    def blocks(self) -> list[Block]:
        """Return all blocks that count, by kind and value."""

    def blocked(self, refs: Collection[Ref]) -> set[Digest]:
        """Return the digests of refs whose digest, id or origin is blocked.

        Cheap where nothing is blocked. What a ref says proves nothing about its digest.
        """

    def covered(self, names: Collection[BlockName]) -> Covered:
        """Return what ``names`` stand for, blocked or not."""

    def reopen(self, now: int) -> Reopened | None:
        """Judge anew some of what lost to another content of its id; None: nothing is left to do.

        To be done of every origin of which other keys stand than before (`Store.pin`, `repin`,
        `announce`); origins take turns. What would not be decided against today (see
        `rules.merging.contenders`) is stored from the proofs where they have it, or else forgotten:
        it leaves the reconciled sets, as if it had never been seen. What is held stays held until
        a content that its origin signed takes its place, or stands decided against for good.
        """

    def end_reopening(self, step: Reopened) -> None:
        """Note that what the last step of an origin found is looked for: it is not given again.

        Nothing is noted where its keys have changed once more since that step.
        """

    def equivocators(self, nodes: Collection[NodeId] | None = None) -> list[Equivocator]:
        """Return origins (of ``nodes``) seen to equivocate, the one seen last first."""

    def equivocations(self) -> list[Equivocation]:
        """Return the evidence that is kept, the newest first."""

    def lost_posts(self, digests: Collection[Digest]) -> list[Post]:
        """Return posts that lost to another content of their id and are kept as evidence."""


def blocked_ids(names: Collection[BlockName], kind: BlockKind) -> Sequence[str]:
    """Return the values of one kind, each once, in order."""
    return sorted({name.value for name in names if name.kind == kind})
