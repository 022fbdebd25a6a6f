"""Which request takes back another one, where the daemon can. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertd.records import JobState
from tui.actions.allowed_actions import Action
from tui.snapshot import Feed

if TYPE_CHECKING:
    from bertd.api.models import JobView, RunView


@dataclass(frozen=True)
class Undo:
    """What U does."""

    what: str
    """As the name of its answer: academic-large: release."""
    call: Callable[[], JobView | RunView]
    """Blocks; raises BertdError if it is too late."""


def undo_of_action(action: Action, answer: JobView, feed: Feed, *, before: JobView) -> Undo | None:
    """What takes back an action on a job; None where nothing does.

    A stop can be taken back only while the job waits for devices to save and export; a pause while it is saved.

    Args:
        answer: the job as the daemon answered.
        before: the job as it was shown before.
    """
    job_id = answer.id
    match action:
        case Action.HOLD:
            return Undo(f"{answer.name}: release", lambda: feed.release(job_id))
        case Action.RELEASE:
            return Undo(f"{answer.name}: hold", lambda: feed.hold(job_id))
        case Action.PRIORITIZE:
            return Undo(f"{answer.name}: priority {before.priority}", lambda: feed.prioritize(job_id, before.priority))
        case Action.STOP if answer.state is JobState.QUEUED:
            return Undo(f"{answer.name}: resume instead of stop", lambda: feed.resume(job_id))
        case Action.PAUSE | Action.PAUSE_HOT if answer.state is JobState.PAUSING:
            return Undo(f"{answer.name}: resume", lambda: feed.resume(job_id))
    return None


def undo_of_submission(answer: JobView, feed: Feed) -> Undo | None:
    """Cancel what was queued; None once it has started."""
    if answer.state not in (JobState.QUEUED, JobState.HELD):
        return None
    return Undo(f"#{answer.id} {answer.name}: cancel", lambda: feed.stop(answer.id))


def undo_of_budget(before: RunView, feed: Feed) -> Undo:
    """The budget as it was."""
    from bertd.records import BudgetRequest  # Not before the first frame: the models need pydantic.

    request = BudgetRequest(unit=before.budget.unit, amount=before.budget.amount)
    return Undo(f"{before.name}: the earlier budget", lambda: feed.change_budget(before.id, request))
