"""What a person reads before an action, and the priority that several presses of a key add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bertd.records import JobState, PauseKind
from bertd.records.states import HIGHEST_PRIORITY

if TYPE_CHECKING:
    from bertd.api.models import JobView


def pause_consequence(job: JobView) -> str:
    """What a pause does and costs."""
    if job.pause is PauseKind.HOT:
        return "It saves a checkpoint, ends its ranks and frees their devices."
    return "It saves a checkpoint at the next step and frees its devices. Nothing is charged while it is paused."


def resume_consequence(job: JobView) -> str:
    """What a resume does and costs."""
    if job.pause is PauseKind.HOT:
        return "Its ranks continue at once from their memory."
    if job.state is JobState.FAILED:
        return f"It failed: {job.reason}. It starts again from its newest checkpoint when it has devices."
    return "It starts from its newest checkpoint when it has devices; its budget is charged again from then on."


@dataclass
class PriorityChanges:
    """The status is up to a second old, so presses within that time add to what was asked, not to what is shown."""

    _asked: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By job: the priority that the status showed, and the one that was asked for since."""

    def next(self, job: JobView, by: int) -> int:
        """The priority to ask for now."""
        shown, asked = self._asked.get(job.id, (job.priority, job.priority))
        start = asked if shown == job.priority else job.priority
        priority = max(-HIGHEST_PRIORITY, min(HIGHEST_PRIORITY, start + by))
        self._asked[job.id] = (job.priority, priority)
        return priority
