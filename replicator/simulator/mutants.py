"""Planted bugs, switched on by name: the monitors must find each of them.

A mutant stands between the use cases and the guarded ports, or around a use case. Nothing in the
product is patched.
"""

from collections.abc import Callable
from typing import Any, Final

from replicator.simulator.process import Process

Use = Callable[..., object]


class Mutant:
    """Changes nothing; the planted bugs override what they break."""

    def store(self, inner: Any, process: Process) -> Any:
        """Return the store that use cases of a process get."""
        return inner

    def work(self, inner: Any, process: Process) -> Any:
        """Return the work state that use cases of a process get."""
        return inner

    def use(self, task: str, use: Use) -> Use:
        """Return what runs for a task."""
        return use


_MUTANTS: Final[dict[str, type[Mutant]]] = {}


def mutant_named(name: str | None) -> Mutant:
    """Return a mutant; ValueError where there is none of this name."""
    if name is None:
        return Mutant()
    if name not in _MUTANTS:
        raise ValueError(f"unknown mutant {name!r}; known: {', '.join(_MUTANTS)}")
    return _MUTANTS[name]()
