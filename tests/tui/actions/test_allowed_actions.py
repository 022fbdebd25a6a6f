"""A key is grey exactly where the daemon's lifecycle refuses its action."""

from __future__ import annotations

import pytest

from bertd.errors import TransitionError
from bertd.jobs.store.lifecycle import JobAction, JobStatus, change_by_action
from bertd.records import JobKind, JobState, PauseKind
from tests.tui.fake_feed import FakeFeed
from tui.actions.allowed_actions import Action, pause_or_resume, refusal
from tui.display_options import DisplayOptions

_ACTIONS = {
    Action.PAUSE: JobAction.PAUSE,
    Action.PAUSE_HOT: JobAction.PAUSE,
    Action.RESUME: JobAction.RESUME,
    Action.CHECKPOINT: JobAction.CHECKPOINT,
    Action.STOP: JobAction.STOP,
    Action.HOLD: JobAction.HOLD,
    Action.RELEASE: JobAction.RELEASE,
}


@pytest.mark.parametrize("kind", [JobKind.PRETRAIN, JobKind.FINETUNE])
@pytest.mark.parametrize("action", _ACTIONS)
@pytest.mark.parametrize("state", [*JobState, "hot"])
def test_the_table_of_the_dashboard_is_that_of_the_lifecycle(
    action: Action, state: JobState | str, kind: JobKind
) -> None:
    status = JobStatus(JobState.PAUSED, is_hot=True) if state == "hot" else JobStatus(JobState(state))
    if status.is_hot and kind is not JobKind.PRETRAIN:
        pytest.skip("only a pretraining is suspended")
    pause = None if status.state is not JobState.PAUSED else PauseKind.HOT if status.is_hot else PauseKind.COLD
    feed = FakeFeed()
    changes = {"state": status.state, "pause": pause, "kind": kind}
    job = feed.status.jobs[0].model_copy(update=changes)
    try:
        change_by_action(
            _ACTIONS[action], status, job_id=job.id, kind=kind, hot=action is Action.PAUSE_HOT, has_trained=True
        )
        is_allowed = True
    except TransitionError:
        is_allowed = False
    assert (refusal(action, job, feed.current, DisplayOptions()) == "") is is_allowed


def test_p_resumes_what_does_not_train_and_may() -> None:
    job = FakeFeed().status.jobs[0]
    for state in (JobState.PAUSED, JobState.FAILED, JobState.LOST):
        assert pause_or_resume(job.model_copy(update={"state": state})) is Action.RESUME
    assert pause_or_resume(job) is Action.PAUSE
