"""Two sides that compare sets by Negentropy: ours, and the reference behind a driver process."""

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from replicator.rules import negentropy
from replicator.rules.negentropy import Item, SortedItems, Step


class Side(Protocol):
    """One side, with the set and the frame it was given last."""

    def set(self, items: list[Item], frame_bytes_max: int) -> None: ...
    def initiate(self) -> bytes: ...
    def respond(self, message: bytes) -> bytes: ...
    def continue_(self, message: bytes) -> Step: ...


class Ours:
    """The product as a side."""

    def set(self, items: list[Item], frame_bytes_max: int) -> None:
        self.items, self.frame = SortedItems(items), frame_bytes_max

    def initiate(self) -> bytes:
        return negentropy.initiate(self.items, self.frame)

    def respond(self, message: bytes) -> bytes:
        return negentropy.respond(self.items, message, self.frame)

    def continue_(self, message: bytes) -> Step:
        return negentropy.continue_(self.items, message, self.frame)


class Reference:
    """The reference as a side: a driver process, spoken with by lines."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def set(self, items: list[Item], frame_bytes_max: int) -> None:
        listed = "".join(f" {time} {digest.hex()}" for time, digest in items)
        self._tell(f"set {frame_bytes_max}{listed}")

    def initiate(self) -> bytes:
        self._tell("initiate")
        return bytes.fromhex(self._hear())

    def respond(self, message: bytes) -> bytes:
        self._tell(f"reconcile {message.hex()}")
        return bytes.fromhex(self._hear().split()[0])

    def continue_(self, message: bytes) -> Step:
        self._tell(f"reconcile {message.hex()}")
        said, have, need = (None if word == "-" else word for word in self._hear().split())
        listed = [tuple(map(bytes.fromhex, one.split(","))) if one else () for one in (have, need)]
        return Step(listed[0], listed[1], None if said is None else bytes.fromhex(said))

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the reference ended"
        return line


@contextmanager
def reference(command: list[str]) -> Iterator[Reference]:
    """Run a driver of the reference: `negentropy_reference.js` with its path, or the one in C++."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Reference(process)
        assert process.stdin
        process.stdin.close()


@dataclass(frozen=True)
class Talk:
    """A whole comparison: messages of both in turn, and what the initiator learned."""

    messages: list[bytes]
    have: list[bytes]
    need: list[bytes]


def talk(client: Side, server: Side, rounds_max: int = 200) -> Talk:
    """Let two sides compare their sets to the end; fail where they do not find it."""
    messages, have, need = [client.initiate()], [], []
    for _ in range(rounds_max):
        messages.append(server.respond(messages[-1]))
        step = client.continue_(messages[-1])
        have += step.have
        need += step.need
        if step.message is None:
            return Talk(messages, have, need)
        messages.append(step.message)
    raise AssertionError(f"no end after {rounds_max} rounds")


def numbers(seed: str, place: int) -> bytes:
    """Return 32 bytes of pseudo-randomness."""
    return hashlib.sha256(f"{seed}/{place}".encode()).digest()


@dataclass(frozen=True)
class Recipe:
    """How two sets are made from a seed; written in tests/vectors/README.md for others."""

    seed: str
    count: int
    """Items of both sets together."""
    base: int = 1_700_000_000
    spread: int = 1_000_000
    """Times are from ``base`` on, below ``base + spread``."""
    only_client: int = 10
    only_server: int = 10
    """Of 1,000 items, those that one side alone has."""
    same_bytes: int = 0
    """Bytes that all digests begin with alike."""

    def sets(self) -> tuple[list[Item], list[Item]]:
        """Return the client's and the server's items."""
        client: list[Item] = []
        server: list[Item] = []
        for place in range(self.count):
            digest, other = numbers(self.seed, place), numbers(f"{self.seed}/time", place)
            time = self.base + int.from_bytes(other[:8], "big") % self.spread
            item = (time, b"\xab" * self.same_bytes + digest[self.same_bytes :])
            draw = int.from_bytes(other[8:12], "big") % 1000
            if draw >= self.only_server:
                client.append(item)
            if not self.only_server <= draw < self.only_server + self.only_client:
                server.append(item)
        return client, server
