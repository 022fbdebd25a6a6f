"""`bertd finetune --now` over the socket of a real daemon: the run pauses for a job, and continues."""

from __future__ import annotations

import os
import signal

import pytest

from bertd.api.models import JobView, SubmitFinetune, SubmitGrid
from bertd.errors import CheckpointError, DeviceMemoryError, SubmissionError
from bertd.records import JobState, LendRecord, PauseKind
from bertd.run.mailbox import read_command
from bertd.run.paths import step_folder_name
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan
from tests.waiting import wait_for

FILES = ("model.safetensors", "tokenizer.json")


def train(box: DaemonBox, *, steps: int = 12, memory_bytes: int | None = None) -> JobView:
    """A run on every core that has an export and waits at step 3."""
    box.plan(Plan(hold_at=3, memory_bytes=memory_bytes))
    run = box.submit_wide(steps=steps)
    box.wait_for_step(run.id, 3)
    export = box.run_paths(run.id).exports / step_folder_name(3)
    export.mkdir(parents=True)
    (export / "config.json").write_text("{}")
    for name in FILES:
        (export / name).touch()
    return run


def order(box: DaemonBox, task: str, *, now: PauseKind | None = PauseKind.COLD) -> SubmitFinetune:
    """wnli runs until it is stopped, cola scores at once."""
    return SubmitFinetune(run="@", task=task, data_dir=str(box.glue), now=now)


def wait_until_trained(box: DaemonBox, run: JobView, *, steps: int = 12) -> None:
    """Let the run end; every step was done, and none twice."""
    box.release()
    box.wait_for_state(run.id, JobState.DONE)
    assert box.steps(run.id) == list(range(1, steps + 1))
    assert box.client.run(run.id).steps_lost == 0


def wait_until_it_holds_again(box: DaemonBox, run: JobView) -> None:
    """Until the run trains after a lend; it waits at its step 3 then."""
    wait_for(
        lambda: box.client.job(run.id).state is JobState.RUNNING and box.client.job(run.id).devices != [],
        what=f"the run to train again: {box.client.job(run.id)}\n{box.log}",
    )


def test_the_run_lends_its_devices_to_one_job_and_continues_by_itself(box: DaemonBox) -> None:
    run = train(box)
    waits = box.submit_finetuning("cola")
    job = box.client.submit(order(box, "wnli"))
    assert job.lend is not None and (job.lend.run_job_id, job.lend.job_ids) == (run.id, [job.id])
    box.wait_for_state(job.id, JobState.RUNNING)
    paused = box.client.job(run.id)
    assert (paused.state, paused.pause, paused.devices) == (JobState.PAUSED, PauseKind.COLD, [])
    why = f"lent its devices to job {job.id} (wnli); continues by itself when that is over"
    back = f"`bertd resume {run.id}` ends that at once"
    wait_for(lambda: box.client.job(run.id).reason == f"{why}; {back}", what=f"{box.client.job(run.id)}")
    # The other waits, though it was first.
    assert box.client.job(waits.id).state is JobState.QUEUED
    assert f"job {run.id} has the rest" in box.client.job(waits.id).reason
    assert box.client.job(job.id).num_devices == box.cores
    box.client.stop(job.id)
    box.wait_for_state(job.id, JobState.CANCELLED)
    wait_until_it_holds_again(box, run)
    assert box.client.job(waits.id).state is JobState.QUEUED
    (record,) = [record for record in box.records(run.id) if isinstance(record, LendRecord)]
    assert (record.jobs, record.step, record.detail) == ([job.id], 3, "its jobs are over")
    wait_until_trained(box, run)
    box.wait_for_state(waits.id, JobState.DONE)
    lends = [event.text for event in box.events() if event.type == "lending"]
    assert [text.partition("lend 1: ")[2].partition(" ")[0] for text in lends] == ["lends", "job", "its", "over"], lends
    assert box.client.job(run.id).lend is None


def test_a_daemon_that_is_killed_at_each_moment_finds_the_lend_again(box: DaemonBox) -> None:
    run = train(box)
    job = box.client.submit(order(box, "wnli"))
    box.kill()
    box.start()
    box.wait_for_state(job.id, JobState.RUNNING)
    box.kill()
    box.start()
    assert box.client.job(job.id).state is JobState.RUNNING
    assert box.client.job(run.id).state is JobState.PAUSED
    box.client.stop(job.id)
    box.kill()
    box.start()
    box.wait_for_state(job.id, JobState.CANCELLED)
    wait_until_it_holds_again(box, run)
    wait_until_trained(box, run)


def test_the_end_of_the_daemon_pauses_both_and_the_next_one_continues_the_lend(box: DaemonBox) -> None:
    run = train(box)
    job = box.client.submit(order(box, "wnli"))
    box.wait_for_state(job.id, JobState.RUNNING)
    assert box.stop() == 0
    box.start()
    box.wait_for_state(job.id, JobState.RUNNING)
    assert box.client.job(run.id).state is JobState.PAUSED
    box.client.stop(job.id)
    wait_until_it_holds_again(box, run)
    wait_until_trained(box, run)


def test_the_run_continues_after_a_job_that_fails_and_after_one_whose_runner_is_killed(box: DaemonBox) -> None:
    run = train(box)
    failed = box.client.submit(order(box, "rte"))
    box.wait_for_state(failed.id, JobState.FAILED)
    wait_until_it_holds_again(box, run)
    killed = box.client.submit(order(box, "wnli"))
    box.wait_for_state(killed.id, JobState.RUNNING)
    for _ in range(3):
        box.wait_for_state(killed.id, JobState.RUNNING)
        paths = box.run_paths(run.id).finetune(killed.id)
        pid = int(paths.runner.read_text().partition('"pid":')[2].partition(",")[0])
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: box.client.job(killed.id).state is not JobState.RUNNING, what="the loss to be seen")
    box.wait_for_state(killed.id, JobState.FAILED)
    wait_until_it_holds_again(box, run)
    wait_until_trained(box, run)


def test_a_person_who_resumes_the_run_gets_it_back_and_the_job_waits_in_the_queue(box: DaemonBox) -> None:
    run = train(box)
    job = box.client.submit(order(box, "wnli"))
    box.wait_for_state(job.id, JobState.RUNNING)
    box.client.resume(run.id)
    wait_until_it_holds_again(box, run)
    waiting = box.wait_for_state(job.id, JobState.QUEUED)
    assert waiting.lend is None
    box.client.stop(job.id)
    wait_until_trained(box, run)


def test_a_person_who_stops_the_run_gets_its_export_when_the_job_is_over(box: DaemonBox) -> None:
    run = train(box)
    job = box.client.submit(order(box, "wnli"))
    box.wait_for_state(job.id, JobState.RUNNING)
    box.client.stop(run.id)
    wait_for(lambda: f"until job {job.id}" in box.client.job(run.id).reason, what=f"{box.client.job(run.id)}")
    assert box.client.job(job.id).state is JobState.RUNNING
    box.client.stop(job.id)
    box.wait_for_state(run.id, JobState.DONE)
    assert box.steps(run.id) == [1, 2, 3]
    assert (box.run_paths(run.id).exports / step_folder_name(3)).is_dir()


def test_two_at_once_share_the_lend_and_the_run_waits_for_both(box: DaemonBox) -> None:
    run = train(box)
    first, second = box.client.submit(order(box, "wnli")), box.client.submit(order(box, "wnli"))
    assert first.lend is not None and second.lend is not None and first.lend.id == second.lend.id
    box.wait_for_state(first.id, JobState.RUNNING)
    assert box.client.job(second.id).state is JobState.QUEUED
    assert box.client.estimate_lend(order(box, "cola")).lend == first.lend.id
    box.client.stop(first.id)
    box.wait_for_state(second.id, JobState.RUNNING)
    assert box.client.job(run.id).state is JobState.PAUSED
    box.client.stop(second.id)
    wait_until_it_holds_again(box, run)
    wait_until_trained(box, run)


@pytest.mark.parametrize("change", ["begin", "after"])
def test_a_job_of_the_lend_that_a_person_puts_off_does_not_keep_the_run_paused(box: DaemonBox, change: str) -> None:
    run, other = train(box), box.client.submit(box.pretraining(hold=True))
    first, second = box.client.submit(order(box, "wnli")), box.client.submit(order(box, "wnli"))
    box.wait_for_state(first.id, JobState.RUNNING)
    if change == "begin":
        box.client.change(second.id, begin="+5h")
    else:
        box.client.change(second.id, after=[str(other.id)])
    wait_for(lambda: box.client.job(second.id).lend is None, what=f"{box.client.job(second.id)}")
    box.client.stop(first.id)
    wait_until_it_holds_again(box, run)
    words = "may start" if change == "begin" else f"waits for job {other.id}"
    wait_for(lambda: words in box.client.job(second.id).reason, what=f"{box.client.job(second.id)}")
    wait_until_trained(box, run)


def test_devices_are_not_kept_for_a_run_that_is_put_off_while_it_lends(box: DaemonBox) -> None:
    run = train(box)
    waits = box.submit_finetuning("cola")
    job = box.client.submit(order(box, "wnli"))
    box.wait_for_state(job.id, JobState.RUNNING)
    box.client.change(run.id, begin="+5h")
    box.client.stop(job.id)
    box.wait_for_state(waits.id, JobState.DONE)
    later = box.client.job(run.id)
    assert (later.state, later.lend) == (JobState.QUEUED, None) and "may start" in later.reason
    box.client.change(run.id, begin="none")
    wait_until_trained(box, run)


def test_a_hot_lend_keeps_the_processes_and_charges_nothing(box: DaemonBox) -> None:
    run = train(box, memory_bytes=1000)
    pid = box.runner(run.id).pid
    job = box.client.submit(order(box, "wnli", now=PauseKind.HOT))
    box.wait_for_state(job.id, JobState.RUNNING)
    paused = box.client.job(run.id)
    assert (paused.state, paused.pause) == (JobState.PAUSED, PauseKind.HOT)
    charged_s = box.client.run(run.id).budget.charged_s
    assert box.client.run(run.id).budget.charged_s == charged_s
    box.client.stop(job.id)
    wait_until_it_holds_again(box, run)
    assert box.runner(run.id).pid == pid
    command = read_command(box.run_paths(run.id).control, number=1)
    assert command is not None and command.asked_by.endswith(f"by lend 1 to job {job.id}")
    wait_until_trained(box, run)


def test_a_run_without_an_export_is_not_paused_and_the_remedy_is_told(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=3))
    run = box.submit_wide(steps=12)
    box.wait_for_step(run.id, 3)
    with pytest.raises(
        CheckpointError, match=rf"neither an export nor a checkpoint.*`bertd checkpoint {run.id}` saves"
    ):
        box.client.submit(order(box, "cola"))
    box.client.checkpoint(run.id)
    saved = box.run_paths(run.id).checkpoints / step_folder_name(3)
    wait_for(saved.is_dir, what="the checkpoint")
    told = rf"`bertd export {run.run_id}` makes one of its newest checkpoint, that of step 3, while the run trains"
    with pytest.raises(CheckpointError, match=told):
        box.client.submit(order(box, "cola"))
    with pytest.raises(CheckpointError, match=rf"`bertd export {run.run_id}@3` makes one"):
        box.client.estimate_lend(order(box, "cola").model_copy(update={"run": f"{run.run_id}@3"}))
    assert box.client.job(run.id).state is JobState.RUNNING
    assert not [event for event in box.events() if event.type == "lending"]
    wait_until_trained(box, run)


def test_a_job_that_is_to_wait_and_a_run_of_which_nobody_knows_which_are_refused(box: DaemonBox) -> None:
    train(box)
    with pytest.raises(SubmissionError, match="--begin: --now starts the job at once"):
        box.client.submit(order(box, "cola").model_copy(update={"begin": "+2h"}))
    estimate = box.client.estimate_lend(order(box, "cola"))
    assert (estimate.lend, estimate.num_devices, estimate.start_s) == (None, box.cores, None)
    grid = SubmitGrid(run="@", tasks=["cola"], data_dir=str(box.glue), now=PauseKind.COLD)
    assert box.client.estimate_lend(grid).run_job_id == 1
    assert [job.id for job in box.client.jobs()] == [1]


@pytest.mark.parametrize(
    ("memory_bytes", "words"),
    [(None, "how much memory it needs is not measured yet"), (1 << 60, "keeps its memory, and")],
)
def test_a_hot_lend_without_memory_for_both_is_refused(box: DaemonBox, memory_bytes: int | None, words: str) -> None:
    run = train(box, memory_bytes=memory_bytes)
    with pytest.raises(DeviceMemoryError, match=words):
        box.client.submit(order(box, "wnli", now=PauseKind.HOT))
    assert box.client.job(run.id).state is JobState.RUNNING
    assert [job.id for job in box.client.jobs()] == [run.id]
