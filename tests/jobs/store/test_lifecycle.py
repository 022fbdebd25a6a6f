from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from bertd.errors import TransitionError
from bertd.jobs.store.lifecycle import (
    ENDED,
    LIVE,
    TRANSITIONS,
    Actor,
    JobAction,
    JobChange,
    JobStatus,
    SubState,
    change_at_closing,
    change_at_recovery,
    change_at_shutdown,
    change_by_action,
    change_by_lost_runner,
    change_by_record,
    changes_by_outcome,
    check_transition,
    reason_to_wait,
)
from bertd.records import CommandKind, CommandRecord, JobKind, JobState, StateRecord

STATUS = {
    SubState.QUEUED: JobStatus(JobState.QUEUED),
    SubState.QUEUED_TO_STOP: JobStatus(JobState.QUEUED, stop_asked=True),
    SubState.HELD: JobStatus(JobState.HELD),
    SubState.HELD_TO_STOP: JobStatus(JobState.HELD, stop_asked=True),
    SubState.STARTING: JobStatus(JobState.STARTING),
    SubState.RUNNING: JobStatus(JobState.RUNNING),
    SubState.PAUSING: JobStatus(JobState.PAUSING),
    SubState.PAUSING_TO_RESUME: JobStatus(JobState.PAUSING, wants_resume=True),
    SubState.PAUSED: JobStatus(JobState.PAUSED),
    SubState.PAUSED_TO_RESUME: JobStatus(JobState.PAUSED, wants_resume=True),
    SubState.PAUSED_TO_STOP: JobStatus(JobState.PAUSED, stop_asked=True),
    SubState.SUSPENDED: JobStatus(JobState.PAUSED, is_hot=True),
    SubState.SUSPENDED_TO_RESUME: JobStatus(JobState.PAUSED, is_hot=True, wants_resume=True),
    SubState.STOPPING: JobStatus(JobState.STOPPING, stop_asked=True),
    SubState.DONE: JobStatus(JobState.DONE),
    SubState.FAILED: JobStatus(JobState.FAILED),
    SubState.CANCELLED: JobStatus(JobState.CANCELLED),
    SubState.LOST: JobStatus(JobState.LOST),
}
"""The simplest facts that make each sub-state."""

_PAUSE, _SUSPEND, _RESUME, _STOP = CommandKind.PAUSE, CommandKind.SUSPEND, CommandKind.RESUME, CommandKind.STOP
MEANINGS: dict[str, tuple[JobState | None, bool | None, bool | None, CommandKind | None]] = {
    "cold": (JobState.PAUSING, False, None, _PAUSE),
    "hot": (JobState.PAUSING, False, None, _SUSPEND),
    "requeue": (JobState.QUEUED, False, False, None),
    "unstop": (None, None, False, None),
    "later": (None, True, False, None),
    "wake": (None, True, False, _RESUME),
    "save": (None, None, None, CommandKind.CHECKPOINT),
    "stop": (JobState.STOPPING, False, True, _STOP),
    "export": (JobState.QUEUED, False, True, _STOP),
    "note": (None, False, True, _STOP),
    "cancel": (JobState.CANCELLED, None, None, None),
    "held": (JobState.HELD, None, None, None),
    "queued": (JobState.QUEUED, None, None, None),
}
"""A cell of EXPECTED: new state, wish to resume, wish to stop, command; None leaves the value, or means no command."""
EXPECTED = """
                    | pause| hot  | resume  | resume on | checkpoint | stop   | stop untrained | hold | release
queued              | .    | .    | .       | unstop    | .          | note   | cancel         | held | .
queued to stop      | .    | .    | unstop  | unstop    | .          | cancel | cancel         | held | .
held                | .    | .    | .       | .         | .          | export | cancel         | .    | queued
held to stop        | .    | .    | .       | .         | .          | cancel | cancel         | .    | queued
starting            | cold | hot  | .       | .         | .          | stop   | stop           | .    | .
running             | cold | hot  | .       | .         | save       | stop   | stop           | .    | .
pausing             | .    | .    | later   | .         | .          | stop   | stop           | .    | .
pausing to resume   | .    | .    | later   | .         | .          | stop   | stop           | .    | .
paused              | .    | .    | requeue | requeue   | .          | export | cancel         | .    | .
paused to resume    | .    | .    | requeue | requeue   | .          | export | cancel         | .    | .
paused to stop      | .    | .    | requeue | requeue   | .          | cancel | cancel         | .    | .
suspended           | cold | .    | wake    | .         | save       | stop   | stop           | .    | .
suspended to resume | cold | hot  | wake    | .         | save       | stop   | stop           | .    | .
stopping            | .    | .    | .       | .         | .          | .      | .              | .    | .
done                | .    | .    | .       | .         | .          | .      | .              | .    | .
failed              | .    | .    | requeue | requeue   | .          | .      | .              | .    | .
cancelled           | .    | .    | .       | .         | .          | .      | .              | .    | .
lost                | .    | .    | requeue | requeue   | .          | .      | .              | .    | .
"""
"""What README.md promises of each action, written apart from the module; a dot is a refusal."""
COLUMNS: list[tuple[JobAction, dict[str, bool]]] = [
    (JobAction.PAUSE, {}),
    (JobAction.PAUSE, {"hot": True}),
    (JobAction.RESUME, {}),
    (JobAction.RESUME, {"on_other_devices": True}),
    (JobAction.CHECKPOINT, {}),
    (JobAction.STOP, {"has_trained": True}),
    (JobAction.STOP, {}),
    (JobAction.HOLD, {}),
    (JobAction.RELEASE, {}),
]


def expected_cells() -> dict[SubState, list[str]]:
    """The table above, by sub-state."""
    rows = [[cell.strip() for cell in line.split("|")] for line in EXPECTED.strip("\n").splitlines()[1:]]
    return {SubState(name): cells for name, *cells in rows}


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
        target = change_by_action(action, JobStatus(state), job_id=1, kind=kind).state or state
    except TransitionError as error:
        assert "job 1" in str(error)
        assert ";" in str(error) or ":" in str(error)
        return
    if target is not state:
        check_transition(1, before=state, after=target, actor=Actor.PERSON)
    assert state not in ENDED or action is JobAction.RESUME


def test_a_finetuning_cannot_be_paused() -> None:
    with pytest.raises(TransitionError, match="job 7: cannot pause a finetune"):
        change_by_action(JobAction.PAUSE, JobStatus(JobState.RUNNING), job_id=7, kind=JobKind.FINETUNE)


@pytest.mark.parametrize("kind", [JobKind.FINETUNE, JobKind.GRID])
def test_what_has_nothing_to_export_is_not_said_to_export_when_it_is_stopped(kind: JobKind) -> None:
    change = change_by_action(JobAction.STOP, JobStatus(JobState.RUNNING), job_id=7, kind=kind)
    assert (change.state, change.reason) == (JobState.STOPPING, "stopped by a person; its processes are killed")


@pytest.mark.parametrize("kind", JobKind)
@pytest.mark.parametrize("status", [JobStatus(JobState.QUEUED), JobStatus(JobState.PAUSED, wants_resume=True)])
def test_a_job_that_had_begun_is_not_said_to_be_stopped_before_it_began(kind: JobKind, status: JobStatus) -> None:
    fresh, begun = (
        change_by_action(JobAction.STOP, status, job_id=7, kind=kind, has_begun=has_begun)
        for has_begun in (False, True)
    )
    assert (fresh.state, begun.state) == (JobState.CANCELLED, JobState.CANCELLED)
    assert (fresh.reason, "began" in str(begun.reason)) == ("stopped by a person before it began", False)


def test_a_reason_names_no_person_where_another_may_have_asked() -> None:
    # A sweep stops its winner; the end of a daemon notes a resume for a job that pauses.
    assert "person" not in reason_to_wait(JobStatus(JobState.QUEUED, stop_asked=True), "waits for a device")
    pausing = JobStatus(JobState.PAUSING, wants_resume=True)
    _, queued = changes_by_outcome(pausing, JobState.PAUSED, "saved", job_id=7, is_stopping=False)
    assert queued.reason == "was to resume after its pause; waits for its turn"
    stopped = change_by_action(JobAction.STOP, STATUS[SubState.QUEUED_TO_STOP], job_id=7, kind=JobKind.PRETRAIN)
    assert "twice" not in str(stopped.reason)


def test_a_move_by_the_wrong_actor_is_refused_with_a_remedy() -> None:
    with pytest.raises(TransitionError, match="queued cannot become starting by the person; .*hold or stop it"):
        check_transition(3, before=JobState.QUEUED, after=JobState.STARTING, actor=Actor.PERSON)


def test_each_sub_state_has_its_facts_and_its_line() -> None:
    assert {sub_state: status.sub_state for sub_state, status in STATUS.items()} == {each: each for each in SubState}
    assert set(expected_cells()) == set(SubState)


@pytest.mark.parametrize(("sub_state", "column"), list(product(SubState, range(len(COLUMNS)))))
def test_an_action_does_in_each_sub_state_what_the_table_says(sub_state: SubState, column: int) -> None:
    (action, options), status, cell = COLUMNS[column], STATUS[sub_state], expected_cells()[sub_state][column]
    if cell == ".":
        with pytest.raises(TransitionError, match="job 3: .*;"):
            change_by_action(action, status, job_id=3, kind=JobKind.PRETRAIN, **options)
        return
    change = change_by_action(action, status, job_id=3, kind=JobKind.PRETRAIN, **options)
    assert (change.state, change.wants_resume, change.stop_asked, change.command) == MEANINGS[cell]
    assert change.reason is not None or action is JobAction.CHECKPOINT
    assert change.forgets_losses == (action is JobAction.RESUME and change.wants_resume is not True)
    if change.state is not None:
        check_transition(3, before=status.state, after=change.state, actor=Actor.PERSON)


@pytest.mark.parametrize("facts", list(product([False, True], repeat=3)))
@pytest.mark.parametrize("state", JobState)
def test_all_facts_have_a_sub_state_of_their_state(state: JobState, facts: tuple[bool, bool, bool]) -> None:
    is_hot, wants_resume, stop_asked = facts
    status = JobStatus(
        state, is_hot=is_hot and state is JobState.PAUSED, wants_resume=wants_resume, stop_asked=stop_asked
    )
    assert STATUS[status.sub_state].state is state
    assert STATUS[status.sub_state].is_hot == status.is_hot


@pytest.mark.parametrize("sub_state", SubState)
def test_a_resume_that_is_taken_leaves_no_wish_to_stop(sub_state: SubState) -> None:
    status = replace(STATUS[sub_state], stop_asked=True)
    if expected_cells()[status.sub_state][2] != ".":
        assert change_by_action(JobAction.RESUME, status, job_id=3, kind=JobKind.PRETRAIN).stop_asked is False


def test_two_pauses_of_what_is_held_differ_in_their_refusal() -> None:
    with pytest.raises(TransitionError, match="job 3: is paused hot already; resume it, or pause it without --hot"):
        change_by_action(JobAction.PAUSE, STATUS[SubState.SUSPENDED], job_id=3, kind=JobKind.PRETRAIN, hot=True)


@pytest.mark.parametrize("sub_state", SubState)
def test_the_end_of_the_daemon_pauses_each_job_that_trains_and_its_return_lets_it_go_on(sub_state: SubState) -> None:
    change = change_at_shutdown(STATUS[sub_state])
    live = STATUS[sub_state].state in LIVE or STATUS[sub_state].is_hot
    if not live or sub_state is SubState.STOPPING:
        assert change is None
        return
    assert change is not None and change.command is CommandKind.PAUSE
    assert change.state is (None if STATUS[sub_state].state is JobState.PAUSING else JobState.PAUSING)
    wants_resume = STATUS[sub_state].wants_resume if change.wants_resume is None else change.wants_resume
    assert wants_resume == (sub_state not in (SubState.PAUSING, SubState.SUSPENDED))
    back = change_at_recovery(JobStatus(JobState.PAUSED, wants_resume=wants_resume))
    assert (back is not None) == wants_resume
    assert back is None or (back.state, back.wants_resume) == (JobState.QUEUED, False)


@pytest.mark.parametrize("sub_state", SubState)
def test_the_end_of_its_hours_pauses_what_works_and_leaves_the_pause_of_a_person(sub_state: SubState) -> None:
    change = change_at_closing(STATUS[sub_state], "its hours are over")
    assert (change is None) == (sub_state not in (SubState.STARTING, SubState.RUNNING))
    if change is not None and change.state is not None:
        assert (change.command, change.wants_resume) == (CommandKind.PAUSE, True)
        check_transition(3, before=STATUS[sub_state].state, after=change.state, actor=Actor.SCHEDULER)


@pytest.mark.parametrize(
    ("sub_state", "kind", "gives_up", "after"),
    [
        (SubState.STARTING, JobKind.PRETRAIN, False, JobState.QUEUED),
        (SubState.RUNNING, JobKind.PRETRAIN, False, JobState.QUEUED),
        (SubState.RUNNING, JobKind.PRETRAIN, True, JobState.FAILED),
        (SubState.PAUSING, JobKind.PRETRAIN, True, JobState.PAUSED),
        (SubState.PAUSING_TO_RESUME, JobKind.PRETRAIN, False, JobState.QUEUED),
        (SubState.SUSPENDED, JobKind.PRETRAIN, True, JobState.PAUSED),
        (SubState.SUSPENDED_TO_RESUME, JobKind.PRETRAIN, False, JobState.QUEUED),
        (SubState.STOPPING, JobKind.PRETRAIN, False, JobState.QUEUED),
        (SubState.STOPPING, JobKind.FINETUNE, True, JobState.CANCELLED),
        (SubState.STARTING, JobKind.COMMAND, False, JobState.LOST),
        (SubState.RUNNING, JobKind.COMMAND, True, JobState.LOST),
        (SubState.STOPPING, JobKind.COMMAND, True, JobState.CANCELLED),
    ],
)
def test_what_becomes_of_a_job_whose_runner_vanished(
    sub_state: SubState, kind: JobKind, gives_up: bool, after: JobState
) -> None:
    status = STATUS[sub_state]
    change = change_by_lost_runner(status, job_id=3, kind=kind, reason_to_give_up="again" if gives_up else None)
    assert change.state is after
    # A stop that was requested stays requested.
    assert change.stop_asked is None
    check_transition(3, before=status.state, after=after, actor=Actor.SCHEDULER)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (JobKind.PREPARE, "continues with the parts that are not complete"),
        (JobKind.PRETRAIN, "resumes from its newest checkpoint, or begins again without one"),
        (JobKind.FINETUNE, "continues after its last saved epoch, or begins again without one"),
        (JobKind.GRID, "continues with the trials that have no score"),
        (JobKind.COMMAND, "`bertd resume 3` begins it again"),
    ],
)
def test_a_job_whose_runner_vanished_says_where_it_continues(kind: JobKind, words: str) -> None:
    change = change_by_lost_runner(STATUS[SubState.RUNNING], job_id=3, kind=kind, reason_to_give_up=None)
    assert change.reason is not None and change.reason.endswith(f"; {words}")


@pytest.mark.parametrize(
    ("sub_state", "is_stopping", "after"),
    [
        (SubState.RUNNING, False, [JobState.PAUSED]),
        (SubState.PAUSING, False, [JobState.PAUSED]),
        (SubState.SUSPENDED, False, [JobState.PAUSED]),
        (SubState.PAUSING_TO_RESUME, False, [JobState.PAUSED, JobState.QUEUED]),
        (SubState.PAUSING_TO_RESUME, True, [JobState.PAUSED]),
        (SubState.STOPPING, False, [JobState.PAUSED, JobState.QUEUED]),
    ],
)
def test_a_pause_that_was_not_the_last_word_leads_back_into_the_queue(
    sub_state: SubState, is_stopping: bool, after: list[JobState]
) -> None:
    changes = changes_by_outcome(STATUS[sub_state], JobState.PAUSED, "saved", job_id=3, is_stopping=is_stopping)
    assert [change.state for change in changes] == after
    assert changes[-1].wants_resume is (False if sub_state is SubState.PAUSING_TO_RESUME and not is_stopping else None)


def test_ranks_that_hold_hear_a_resume_that_came_before() -> None:
    record = StateRecord(t=0, step=5, charged_s=1, state=JobState.PAUSED, reason="held", is_hot=True)
    assert change_by_record(STATUS[SubState.PAUSING], record) == JobChange(JobState.PAUSED, "hot: held")
    resumed = change_by_record(STATUS[SubState.PAUSING_TO_RESUME], record)
    assert resumed == JobChange(JobState.PAUSED, "hot: held", command=CommandKind.RESUME)
    assert change_by_record(STATUS[SubState.STOPPING], record) is None


def test_the_wish_to_go_on_stays_until_the_ranks_have_answered_it() -> None:
    trains = StateRecord(t=0, step=5, charged_s=1, state=JobState.RUNNING, reason="continues from step 5")
    change = change_by_record(STATUS[SubState.SUSPENDED_TO_RESUME], trains)
    assert change == JobChange(JobState.RUNNING, "continues from step 5")
    answer = CommandRecord(t=0, step=5, number=2, verb=CommandKind.RESUME, outcome="done", detail="")
    assert change_by_record(JobStatus(JobState.RUNNING, wants_resume=True), answer) == JobChange(wants_resume=False)


def test_a_pause_that_the_disk_refused_leaves_it_running() -> None:
    answer = CommandRecord(t=0, step=5, number=2, verb=CommandKind.PAUSE, outcome="refused", detail="full")
    change = change_by_record(STATUS[SubState.PAUSING], answer)
    assert change is not None and (change.state, change.wants_resume) == (JobState.RUNNING, False)
    assert change_by_record(STATUS[SubState.STOPPING], answer) is None
