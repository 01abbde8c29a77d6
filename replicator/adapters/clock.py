"""The system's clocks as the `Clock` port; its twin is `memory.clock.ManualClock`."""

import time


class SystemClock:
    """Wall time for what is written and signed, monotonic time for deadlines."""

    def now(self) -> int:
        """Return ms since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        return time.monotonic()
