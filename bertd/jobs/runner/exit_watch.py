"""Detect a launcher that does not end although its ranks did, or were about to. Pure.

The watchdog would find it too, but only after its limits on silence, which are minutes: time for a checkpoint on a slow
disk. A run that has written its last record needs no more of that, nor do ranks that are gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

GONE_GRACE_S = 10.0
"""For a launcher to notice that its ranks have exited; torch elastic looks ten times a second."""
EXIT_GRACE_S = 60.0
"""For the ranks to exit after the run's last record: they leave their process groups."""


@dataclass(frozen=True)
class ExitWatch:
    """Since when the ranks of one attempt are gone, and since when their last record is in the journal."""

    gone_since_s: float | None = None
    """CLOCK_MONOTONIC; None while a rank is alive, or none has begun."""
    final_since_s: float | None = None
    """CLOCK_MONOTONIC; None while the journal does not end with an end or a pause."""

    def observe(self, *, are_gone: bool, is_final: bool, now_s: float) -> ExitWatch:
        """The watch after a look."""
        return replace(
            self,
            gone_since_s=(self.gone_since_s or now_s) if are_gone else None,
            final_since_s=(self.final_since_s or now_s) if is_final else None,
        )

    def overdue_reason(self, *, now_s: float) -> str | None:
        """Why the launcher is to be killed; None if it is not."""
        if self.gone_since_s is not None and now_s - self.gone_since_s > GONE_GRACE_S:
            return f"its ranks have exited, and their launcher did not end in {GONE_GRACE_S:.0f} s"
        if self.final_since_s is not None and now_s - self.final_since_s > EXIT_GRACE_S:
            return f"its ranks did not exit in {EXIT_GRACE_S:.0f} s after their last record"
        return None
