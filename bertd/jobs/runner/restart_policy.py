"""Decide whether a pretraining whose ranks died is restarted, and after which delay. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bertd.records import ExitClass

MAX_RESTARTS = 3
"""Restarts in a row without a higher step; then the run has failed. Source: nvidia-resiliency-ext does the same."""
MAX_RESOURCE_RESTARTS = 1
"""The same if memory or disk ran out: the first time another process may have used it up, the second time not."""
JITTER = 0.2
"""Share by which a delay varies, so that runs that died together do not restart together."""


def max_restarts(exit_class: ExitClass) -> int:
    """Largest number of restarts in a row after a death of this class."""
    return {ExitClass.TRANSIENT: MAX_RESTARTS, ExitClass.RESOURCE: MAX_RESOURCE_RESTARTS}.get(exit_class, 0)


@dataclass(frozen=True)
class RestartPolicy:
    """The delays, and the restarts so far."""

    prompt_delay_s: float = 1.0
    """After an attempt that reached a higher step: the machine works, so waiting would only waste time."""
    first_delay_s: float = 5.0
    """After the first attempt that did not; it doubles from there."""
    longest_delay_s: float = 300.0
    restarts: int = 0
    """In a row without a higher step."""
    best_step: int = 0
    """Highest step any attempt reached."""
    has_progressed: bool = False
    """Whether the newest attempt was the one that reached it."""

    def after_death(self, *, step: int, exit_class: ExitClass = ExitClass.TRANSIENT) -> RestartPolicy | None:
        """The policy for the next attempt after one that reached `step`; None to give up."""
        restarts = 0 if step > self.best_step else self.restarts
        if restarts >= max_restarts(exit_class):
            return None
        return replace(
            self, restarts=restarts + 1, has_progressed=step > self.best_step, best_step=max(step, self.best_step)
        )

    def delay_s(self, *, jitter_share: float) -> float:
        """Uncharged seconds before the next attempt; `jitter_share`, 0..1, is a random number."""
        if self.has_progressed:
            delay_s = self.prompt_delay_s
        else:
            delay_s = min(self.longest_delay_s, self.first_delay_s * 2.0 ** (self.restarts - 1))
        return delay_s * (1 + JITTER * (2 * jitter_share - 1))
