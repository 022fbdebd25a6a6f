"""Jobs that wait for others, over the socket of a real daemon."""

from __future__ import annotations

import os

import pytest

from bertd.api.models import JobView, SubmitCommand
from bertd.errors import SubmissionError, TransitionError, UnknownJobError
from bertd.records import DependencyCondition, DependencyState, JobState
from tests.daemon.daemon_box import DaemonBox
from tests.waiting import wait_for


def submit(box: DaemonBox, *argv: str, hold: bool = False, **after: list[str]) -> JobView:
    order = SubmitCommand(argv=list(argv), cwd=str(box.folder), environment={"PATH": os.environ["PATH"]}, hold=hold)
    return box.client.submit(order.model_copy(update=after))


def wait_for_reason(box: DaemonBox, id: int, words: str) -> None:
    wait_for(lambda: words in box.client.job(id).reason, what=f"{words!r}: {box.client.job(id)}")


def test_a_job_starts_after_another_and_is_held_over_a_restart_if_that_failed(box: DaemonBox) -> None:
    first = submit(box, "false", hold=True)
    needs, whatever = submit(box, "true", after=["@"]), submit(box, "true", after_any=[str(first.id)])
    last = submit(box, "true", after=[str(needs.id), str(whatever.id)])
    (shown,) = needs.after
    assert (shown.job_id, shown.condition, shown.is_met) == (first.id, DependencyCondition.DONE, False)
    wait_for_reason(box, needs.id, f"waits for job {first.id} (false) to be done: it is held")
    box.client.release(first.id)
    box.wait_for_state(whatever.id, JobState.DONE)
    held = box.wait_for_state(needs.id, JobState.HELD)
    assert held.reason.startswith(f"held, since job {first.id} (false) failed: `bertd release {needs.id}`")
    box.kill()
    box.start()
    assert box.client.job(needs.id).state is JobState.HELD
    assert box.client.job(last.id).state is JobState.QUEUED
    with pytest.raises(SubmissionError, match=rf"--after: job {first.id} \(false\) failed; resume it first"):
        submit(box, "true", after=[str(first.id)])
    box.client.release(needs.id)
    assert box.wait_for_state(last.id, JobState.DONE).ended_t is not None
    assert [each.state for each in box.client.job(needs.id).after] == [DependencyState.WAIVED]


def test_a_job_starts_when_a_run_has_spent_a_share_of_its_budget(shared: DaemonBox) -> None:
    box = shared
    run = box.submit(steps=5)
    reached = submit(box, "true", after=[f"{run.id}@0.5"])
    later = submit(box, "true", after=[f"{run.run_id}@0.9"])
    box.wait_for_step(run.id, 3)
    # The ranks hold at step 3 of 5.
    box.wait_for_state(reached.id, JobState.DONE)
    wait_for_reason(box, later.id, f"waits for job {run.id} (fake) to spend 90.0% of its budget: 60.0% so far, running")
    box.client.stop(run.id)
    box.release()
    box.wait_for_state(run.id, JobState.DONE)
    assert "ended at 60.0% of its budget, before 90.0%" in box.wait_for_state(later.id, JobState.HELD).reason
    for wrong, error, words in (
        (["nobody"], UnknownJobError, "no such job"),
        ([f"{reached.id}@0.5"], UnknownJobError, "no such run"),
        ([f"{run.id}@0.0"], SubmissionError, "a share of 0"),
        ([str(run.id), str(run.id)], SubmissionError, "named twice"),
    ):
        with pytest.raises(error, match=words):
            submit(box, "true", after=wrong)


def test_what_a_job_waits_for_is_changed_over_a_restart_and_never_in_a_circle(box: DaemonBox) -> None:
    change = box.client.change
    first, second = submit(box, "true", hold=True), submit(box, "true", hold=True)
    third = submit(box, "true", after=[str(first.id)], after_any=[str(second.id)])
    assert [each.job_id for each in change(third.id, after=[]).after] == [second.id]
    # A job may wait for one that was queued later.
    (shown,) = change(first.id, after=[str(third.id)]).after
    assert (shown.job_id, shown.condition) == (third.id, DependencyCondition.DONE)
    box.kill()
    box.start()
    for id, after, words in (
        (third.id, [str(third.id)], f"job {third.id} would wait for itself; leave job {third.id} out"),
        (third.id, [str(first.id)], f"would wait for itself, since job {first.id} waits for it"),
        (second.id, [str(first.id)], f"job {second.id} would wait for itself"),
        (third.id, [str(second.id)], f"job {second.id} is named twice"),
    ):
        with pytest.raises(SubmissionError, match=words):
            change(id, after=after)
    box.client.release(second.id)
    box.wait_for_state(third.id, JobState.DONE)
    assert box.client.job(first.id).state is JobState.HELD
    with pytest.raises(TransitionError, match="is done, so what it waits for cannot be changed"):
        change(third.id, after=[])
    (row,) = [row for row in box.client.audit() if row.outcome.startswith("done: after none")]
    assert row.request == f"POST /v1/jobs/{third.id}/change"


def test_a_job_that_was_held_for_a_failed_one_may_wait_for_another(box: DaemonBox) -> None:
    wrong, right = submit(box, "false", hold=True), submit(box, "true", hold=True)
    last = submit(box, "true", after=[str(wrong.id)])
    box.client.release(wrong.id)
    box.wait_for_state(last.id, JobState.HELD)
    changed = box.client.change(last.id, after=[str(right.id)])
    assert changed.reason.endswith(f"that was changed, and `bertd release {last.id}` lets it wait")
    box.client.release(last.id)
    wait_for_reason(box, last.id, f"waits for job {right.id} (true) to be done")
    box.client.release(right.id)
    box.wait_for_state(last.id, JobState.DONE)
