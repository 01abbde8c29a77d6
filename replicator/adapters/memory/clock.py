"""A clock that moves only when told: the twin of `clock.SystemClock`."""


class ManualClock:
    """Time in a test or a simulation.

    Args:
        now: ms since the Unix epoch at which it stands.
    """

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._now = now
        self._passed_ms = 0

    def now(self) -> int:
        """Return ms since the Unix epoch, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that `advance` has let pass."""
        return self._passed_ms / 1000

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks; raise ValueError for a negative time."""
        if seconds < 0:
            raise ValueError("time does not go back; use set_wall for a wall clock that was wrong")
        self._now += round(seconds * 1000)
        self._passed_ms += round(seconds * 1000)

    def set_wall(self, now: int) -> None:
        """Set the wall clock alone, as an operator or NTP does: monotonic time does not jump."""
        self._now = now
