"""When ranks that are alive but say nothing are taken for hung. Pure.

The beat is the journal: rank 0 writes at most one step record a second, so its silence is as long as a step, a
validation or a save. How long those are is learnt from the attempt itself; the floors leave room for a first compile
and a first validation on a slow machine.
"""

from __future__ import annotations

from dataclasses import dataclass

TIMES_LONGEST = 10.0
"""Silence this many times as long as the longest so far is a hang."""


@dataclass(frozen=True)
class Patience:
    """How long silence is borne at least."""

    before_first_step_s: float = 1800.0
    floor_s: float = 600.0


@dataclass(frozen=True)
class Watchdog:
    """What is known of one attempt's beats."""

    patience: Patience
    beat_at_s: float
    """CLOCK_MONOTONIC of the newest beat, or of the launch."""
    num_records: int
    """Of the journal at that beat."""
    longest_s: float = 0.0
    """Longest silence between two beats; that of the launch does not count."""
    has_stepped: bool = False

    def seen(self, *, num_records: int, has_stepped: bool, now_s: float) -> Watchdog:
        """After a look at the journal."""
        if num_records == self.num_records:
            return self
        silence_s = now_s - self.beat_at_s
        return Watchdog(
            patience=self.patience,
            beat_at_s=now_s,
            num_records=num_records,
            longest_s=max(self.longest_s, silence_s) if self.has_stepped else self.longest_s,
            has_stepped=has_stepped,
        )

    def limit_s(self) -> float:
        """Longest silence that is borne."""
        if not self.has_stepped:
            return self.patience.before_first_step_s
        return max(self.patience.floor_s, TIMES_LONGEST * self.longest_s)

    def is_hung(self, *, now_s: float) -> bool:
        """Whether the ranks have been silent for too long."""
        return now_s - self.beat_at_s > self.limit_s()
