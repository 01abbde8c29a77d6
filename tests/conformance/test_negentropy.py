"""Negentropy as the reference speaks it: its kept comparisons, and it itself where it is here."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.negentropy_talk import Ours, Recipe, Reference, Side, reference, talk
from tests.conformance.test_vectors import load
from tests.vectors import make_negentropy as make

VECTORS = load("negentropy.json")


@pytest.mark.parametrize(
    "vector", VECTORS, ids=lambda vector: f"{vector['sets']['seed']}, {vector['frames'][0]}"
)
def test_our_messages_are_those_of_the_reference(vector):
    client, server = Ours(), Ours()
    sets = Recipe(**vector["sets"]).sets()
    for side, items, frame in zip((client, server), sets, vector["frames"], strict=True):
        side.set(items, frame)
    told = make.told(talk(client, server))
    assert told == {name: vector[name] for name in told}


def test_the_vectors_are_those_of_the_cases():
    cases = [*make.cases_of_32_bits(), *make.cases_of_64_bits()]
    kept = [(Recipe(**vector["sets"]), *vector["frames"]) for vector in VECTORS]
    assert kept == cases
    assert {vector["by"] for vector in VECTORS} == {"JavaScript", "C++"}


def test_the_vectors_hold_what_is_hard():
    assert any(max(vector["bytes"]) > 100_000 for vector in VECTORS), "a long message"
    assert any(len(vector["bytes"]) > 20 for vector in VECTORS), "a frame that was full"
    assert any(vector["have"]["count"] == 0 == vector["need"]["count"] for vector in VECTORS)
    assert any(len(message) <= 2 * make.SHORT_BYTES for v in VECTORS for message in v["messages"])


# --- the reference itself ------------------------------------------------------------------------

SEEDS = 150


@pytest.fixture(scope="module")
def references() -> Iterator[tuple[Reference, Reference]]:
    """Two processes of the reference in JavaScript, from its file in the environment."""
    script = os.environ["REPLICATOR_TEST_NEGENTROPY"]
    command = ["node", str(make.DRIVER), str(Path(script).absolute())]
    with reference(command) as client, reference(command) as server:
        yield client, server


def drawn(seed: int) -> tuple[Recipe, int, int]:
    """Return a recipe and the frames of client and server, drawn by a seed."""
    draw = random.Random(seed)
    only_client = draw.choice([0, 1, 10, 100, 500, 1000])
    recipe = Recipe(
        f"drawn {seed}",
        draw.choice([0, 1, 5, 31, 32, 33, 100, 511, 513, 1_000, 3_000]),
        base=draw.choice([0, 1_700_000_000]),
        spread=draw.choice([1, 3, 50, 1_000, 1_000_000, 100_000_000]),
        only_client=only_client,
        only_server=draw.choice([n for n in (0, 1, 10, 100, 500, 1000) if n <= 1000 - only_client]),
        same_bytes=draw.choice([0, 0, 2, 8]),
    )
    frames = [0, 4_096, 5_000, 16_384, 262_144]
    return recipe, draw.choice(frames), draw.choice(frames)


def compared(client: Side, server: Side, case: tuple[Recipe, int, int]) -> dict[str, Any]:
    recipe, *frames = case
    for side, items, frame in zip((client, server), recipe.sets(), frames, strict=True):
        side.set(items, frame)
    return make.told(talk(client, server))


@pytest.mark.negentropy_js
def test_each_side_may_be_the_reference(references):
    for seed in range(SEEDS):
        case = drawn(seed)
        told = compared(*references, case)
        assert compared(Ours(), references[1], case) == told, f"our client, seed {seed}"
        assert compared(references[0], Ours(), case) == told, f"our server, seed {seed}"
