"""One rule of admission as data: its name, its reason, a sentence, and what it refuses.

Pure. Rules stand in tuples, and a tuple is a decision: the first rule that refuses is the answer.
A rule without a predicate is applied where its ``place`` says, because it needs what is read from
the wire, the store or Redis; it stands in the list all the same, so that the order is in one place.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Case = TypeVar("Case")


@dataclass(frozen=True, slots=True)
class Rule(Generic[Case]):
    """One rule.

    Args:
        name: short, unique in its list; what documentation and tests call it.
        reason: the code that a refused asker or deliverer is told.
        says: one sentence, for the operator.
        settings: what decides it: settings by name, limits as ``limits.NAME``; may be empty.
        refuses: whether a case is refused; None: applied at ``place``.
        place: the module that applies a rule without a predicate.
    """

    name: str
    reason: str
    says: str
    settings: tuple[str, ...] = ()
    refuses: Callable[[Case], bool] | None = None
    place: str = ""


def first_refusing(rules: Iterable[Rule[Case]], case: Case) -> Rule[Case] | None:
    """Return the first rule that refuses ``case``, or None where all of them let it pass."""
    for rule in rules:
        if rule.refuses is not None and rule.refuses(case):
            return rule
    return None
