from __future__ import annotations

from itertools import product

import pytest

from bertd.errors import TransitionError
from bertd.jobs.store.lifecycle import ENDED, LIVE, TRANSITIONS, Actor, JobAction, check_transition, state_after
from bertd.records import JobKind, JobState


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(JobState)


def test_every_state_but_the_first_two_can_be_reached() -> None:
    reached = {after for targets in TRANSITIONS.values() for after in targets}
    assert reached == set(JobState)


def test_done_and_cancelled_are_final() -> None:
    for state in (JobState.DONE, JobState.CANCELLED):
        assert TRANSITIONS[state] == {}


def test_no_live_state_can_be_left_without_a_way_to_the_queue_for_the_scheduler() -> None:
    for state in LIVE:
        assert Actor.SCHEDULER in TRANSITIONS[state][JobState.QUEUED]


@pytest.mark.parametrize(("action", "kind", "state"), list(product(JobAction, JobKind, JobState)))
def test_what_a_person_may_ask_is_a_move_a_person_may_make(action: JobAction, kind: JobKind, state: JobState) -> None:
    try:
        target = state_after(action, job_id=1, kind=kind, state=state)
    except TransitionError as error:
        assert "job 1" in str(error)
        assert ";" in str(error) or ":" in str(error)
        return
    if target is not state:
        check_transition(1, before=state, after=target, actor=Actor.PERSON)
    assert state not in ENDED or action is JobAction.RESUME


def test_a_finetuning_cannot_be_paused() -> None:
    with pytest.raises(TransitionError, match="job 7: cannot pause a finetune"):
        state_after(JobAction.PAUSE, job_id=7, kind=JobKind.FINETUNE, state=JobState.RUNNING)


def test_a_move_by_the_wrong_actor_is_refused_with_a_remedy() -> None:
    with pytest.raises(TransitionError, match="queued cannot become starting by the person; .*hold or stop it"):
        check_transition(3, before=JobState.QUEUED, after=JobState.STARTING, actor=Actor.PERSON)
