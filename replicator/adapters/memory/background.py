"""Background work without threads, in a set order: the twin of `background.ThreadBackground`."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class InlinePending(Generic[T]):
    """Work that runs, once, when its result is first asked for."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._values: list[T] = []
        self._error: BaseException | None = None

    def result(self) -> T:
        """Return the value, or raise what its making raised; the same every time."""
        if not self._values and self._error is None:
            try:
                self._values.append(self._work())
            except BaseException as error:
                self._error = error
        if self._error is not None:
            raise self._error
        return self._values[0]


class InlineBackground:
    """Start nothing by itself; work that nobody asks for never runs."""

    def submit(self, work: Callable[[], T]) -> InlinePending[T]:
        """Keep ``work`` for the moment its result is asked for."""
        return InlinePending(work)

    def close(self) -> None:
        """Do nothing: there is nothing to end."""
