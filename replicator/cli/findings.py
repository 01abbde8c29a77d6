"""What `replicator doctor` finds, and how one check is run without harm to the others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from replicator.errors import ReplicatorError, StoreUnavailable
from replicator.node.context import Node
from replicator.settings import Settings

Level = Literal["ok", "warn", "fail"]
_NO_DATABASE: Final = "start the database, or look at database_url (server, user, password)"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``advice`` says what to do where something is wrong."""

    check: str
    level: Level
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at; ``node`` is None where it cannot be opened."""

    settings: Settings
    node: Node | None


Check = Callable[[Subject], Iterator[Finding]]


def guarded(name: str, check: Check, subject: Subject) -> list[Finding]:
    """Run one check; an error it raises is its last finding."""
    found: list[Finding] = []
    try:
        found += check(subject)
    except StoreUnavailable as error:
        found.append(Finding(name, "fail", _line(error), _NO_DATABASE))
    except (ReplicatorError, OSError) as error:
        found.append(Finding(name, "fail", _line(error)))
    return found


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
