"""Actions on jobs, over the socket of a real daemon with fake ranks."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bertd.api import client, http, typed_requests
from bertd.api.http import SocketConnection
from bertd.api.models import JobView, SubmitFinetune, SubmitPretrain
from bertd.daemon.api.views import MAX_STATUS_JOBS
from bertd.errors import (
    BertdError,
    CheckpointError,
    CorpusError,
    DaemonUnreachableError,
    DeviceError,
    QueueError,
    RecipeError,
    ShardError,
    StorageError,
    TransitionError,
    UnknownJobError,
)
from bertd.records import (
    BudgetRequest,
    BudgetUnit,
    CommandKind,
    FinetuneSpec,
    JobKind,
    JobState,
    KeptCheckpoint,
    KeptCheckpoints,
    OwnTask,
    PauseKind,
    Record,
    StartRecord,
)
from bertd.run import mailbox
from bertd.run.checkpoint_index import write_checkpoint_index
from bertd.run.recipe.load import read_recipe
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Death, Plan
from tests.waiting import PATIENCE_S, wait_for


@pytest.fixture
def box(shared: DaemonBox) -> DaemonBox:
    """All tests here share one daemon."""
    return shared


# ---- Submitting ----------------------------------------------------------------------------------------


def test_a_submission_makes_a_whole_folder_and_a_row(box: DaemonBox) -> None:
    job = box.client.submit(
        SubmitPretrain(
            recipe_toml=box.pretraining(steps=20).recipe_toml,
            recipe_name="fake.toml",
            overrides=["budget.steps=7", "run.name=other"],
            hold=True,
        )
    )
    assert (job.kind, job.state, job.run_id) == (JobKind.PRETRAIN, JobState.HELD, f"{job.id}-other")
    recipe = read_recipe(Path(job.folder) / "recipe.toml")
    assert (recipe.budget.steps, recipe.run.name) == (7, "other")
    assert box.client.job("@") == job
    assert box.client.run("@").id == job.run_id


def test_a_wrong_recipe_is_refused_with_file_key_and_value(box: DaemonBox) -> None:
    good, before = box.pretraining(), box.client.jobs()
    with pytest.raises(RecipeError, match=r"fake\.toml: \[optimizer\]: unknown key 'peek_lr'; did you mean peak_lr"):
        box.client.submit(good.model_copy(update={"overrides": ["optimizer.peek_lr=1"]}))
    assert box.client.jobs() == before


def test_a_data_set_that_is_not_there_is_refused(box: DaemonBox) -> None:
    with pytest.raises(ShardError, match="no prepared data set"):
        box.client.submit(box.pretraining().model_copy(update={"overrides": ["data.shards=/nowhere"]}))


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_more_devices_than_there_are_are_refused_with_the_number_there_is(box: DaemonBox, kind: str) -> None:
    order = box.pretraining().model_copy(
        update={"overrides": [f"devices.kind={kind}", "devices.count=512", "batch.sequences=8192"]}
    )
    with pytest.raises(DeviceError, match=rf"fake\.toml: \[devices\] asks for 512 {kind}, this machine has \d+"):
        box.client.submit(order)


def test_a_model_too_large_for_the_disk_is_refused(box: DaemonBox) -> None:
    order = box.pretraining().model_copy(
        update={"overrides": ["model.width=65536", "model.ffn=262144", "model.layers=96"]}
    )
    with pytest.raises(StorageError, match="GB free, about .* GB needed"):
        box.client.submit(order)


def test_a_repeated_submission_with_the_same_key_makes_one_job(box: DaemonBox) -> None:
    body = box.pretraining(hold=True).model_dump_json()
    before = len(box.client.jobs())
    first = post(box, "/v1/jobs", body, key="twice")
    second = post(box, "/v1/jobs", body, key="twice")
    assert first == second
    assert first[0] == 201
    assert len(box.client.jobs()) == before + 1


def test_a_key_is_remembered_over_a_kill_9(box: DaemonBox) -> None:
    body = box.pretraining(hold=True).model_dump_json()
    before = len(box.client.jobs())
    first = post(box, "/v1/jobs", body, key="killed")
    box.kill()
    box.start()
    assert post(box, "/v1/jobs", body, key="killed") == first
    assert len(box.client.jobs()) == before + 1


def test_a_key_cannot_be_used_for_another_request(box: DaemonBox) -> None:
    post(box, "/v1/jobs", box.pretraining(hold=True).model_dump_json(), key="other")
    before = len(box.client.jobs())
    status, answer = post(box, "/v1/jobs", box.pretraining(hold=True, priority=1).model_dump_json(), key="other")
    assert (status, answer["code"]) == (409, QueueError.__name__)
    assert len(box.client.jobs()) == before


def post(box: DaemonBox, path: str, body: str, *, key: str) -> tuple[int, dict[str, object]]:
    connection = SocketConnection(box.socket, timeout_s=PATIENCE_S)
    connection.request("POST", path, body, {"Idempotency-Key": key, "Content-Type": "application/json"})
    answer = connection.getresponse()
    status, content = answer.status, json.loads(answer.read())
    connection.close()
    return status, content


# ---- Waiting in line -----------------------------------------------------------------------------------


def test_a_job_that_does_not_fit_waits_and_says_for_what(box: DaemonBox) -> None:
    first = box.submit()
    box.wait_for_step(first.id, 3)
    wide = box.submit_wide()
    wait_for(lambda: "waits for" in box.client.job(wide.id).reason, what="the reason")
    assert f"job {first.id} has the rest: pause or stop it, or wait" in box.client.job(wide.id).reason
    box.client.stop(first.id)
    box.wait_for_state(wide.id, JobState.RUNNING)


def test_a_held_job_starts_when_it_is_released(box: DaemonBox) -> None:
    box.release()
    job = box.client.submit(box.pretraining(hold=True))
    assert box.client.job(job.id).state is JobState.HELD
    assert box.client.release(job.id).state is JobState.QUEUED
    box.wait_for_state(job.id, JobState.DONE)


def test_a_drained_device_starts_no_job_across_a_restart_until_it_is_in_service_again(box: DaemonBox) -> None:
    assert box.client.drain("cpu").drained_by
    job = box.client.submit(box.pretraining())
    wait_for(lambda: "the CPU is drained" in box.client.job(job.id).reason, what="the job to wait for it")
    box.kill()
    box.start()
    wait_for(lambda: "the CPU is drained" in box.client.job(job.id).reason, what="the job to wait for it")
    assert box.client.devices()[0].drained_by
    assert box.client.undrain("cpu").drained_by is None
    box.wait_for_state(job.id, JobState.RUNNING)


def test_priority_decides_among_those_that_wait(box: DaemonBox) -> None:
    first = box.submit_wide()
    box.wait_for_state(first.id, JobState.RUNNING)
    low, high = box.submit_wide(), box.submit_wide()
    assert box.client.priority(high.id, 5).priority == 5
    wait_for(lambda: f"waits for job {high.id}" in box.client.job(low.id).reason, what="the line to change")
    with pytest.raises(TransitionError):
        box.client.priority(first.id, 3)


def test_a_waiting_job_can_be_stopped(box: DaemonBox) -> None:
    job = box.client.submit(box.pretraining(hold=True))
    assert box.client.stop(job.id).state is JobState.CANCELLED
    with pytest.raises(TransitionError, match="cannot stop while it is cancelled"):
        box.client.stop(job.id)


# ---- A run under orders --------------------------------------------------------------------------------


def test_pause_and_resume_keep_every_step_and_the_charged_time(box: DaemonBox) -> None:
    job = box.submit()
    box.wait_for_step(job.id, 3)
    assert box.client.pause(job.id).state is JobState.PAUSING
    paused = box.wait_for_state(job.id, JobState.PAUSED)
    assert paused.devices == []
    assert f"`bertd resume {job.id}` continues" in paused.reason
    charged_s = box.client.run(job.id).budget.charged_s
    assert box.client.run(job.id).budget.charged_s == charged_s, "a pause is not charged"
    box.release()
    assert box.client.resume(job.id).state is JobState.QUEUED
    box.wait_for_state(job.id, JobState.DONE)
    assert box.steps(job.id) == list(range(1, 21))
    assert box.client.run(job.id).steps_lost == 0
    assert box.client.run(job.id).budget.charged_s > charged_s


def test_a_hot_pause_keeps_its_devices_goes_on_and_becomes_cold(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=4))
    job = box.submit(steps=8)
    box.wait_for_step(job.id, 4)
    assert "waits at the next step" in box.client.pause(job.id, hot=True).reason
    held = box.wait_for_state(job.id, JobState.PAUSED)
    assert (held.pause, held.devices) == (PauseKind.HOT, ["cpu"])
    assert box.client.run(job.id).pause is PauseKind.HOT
    with pytest.raises(TransitionError, match="is paused hot already"):
        box.client.pause(job.id, hot=True)

    box.kill()
    box.start()
    assert box.client.job(job.id).pause is PauseKind.HOT
    box.client.resume(job.id)
    box.wait_for_state(job.id, JobState.RUNNING)
    box.client.pause(job.id, hot=True)
    box.wait_for_state(job.id, JobState.PAUSED)
    box.client.pause(job.id)
    wait_for(lambda: box.client.job(job.id).pause is PauseKind.COLD, what="the hold to become a pause")
    assert box.client.job(job.id).devices == []

    box.release()
    box.client.resume(job.id)
    box.wait_for_state(job.id, JobState.DONE)
    assert box.steps(job.id) == list(range(1, 9))


def test_a_held_run_can_be_stopped_and_one_whose_runner_is_killed_stays_paused(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=4))
    job = box.submit(steps=8)
    box.wait_for_step(job.id, 4)
    box.client.pause(job.id, hot=True)
    box.wait_for_state(job.id, JobState.PAUSED)
    os.kill(box.runner(job.id).pid, signal.SIGKILL)
    wait_for(lambda: box.client.job(job.id).pause is PauseKind.COLD, what="the daemon to notice")
    assert "its suspended processes died" in box.client.job(job.id).reason

    box.client.resume(job.id)
    box.wait_for_state(job.id, JobState.RUNNING)
    box.client.pause(job.id, hot=True)
    box.wait_for_state(job.id, JobState.PAUSED)
    box.client.stop(job.id)
    box.wait_for_state(job.id, JobState.DONE)


def test_a_paused_run_goes_on_on_another_number_of_devices_and_kill_9_forgets_nothing(box: DaemonBox) -> None:
    job = box.submit(count=1)
    box.wait_for_step(job.id, 3)
    then = f"`bertd pause {job.id}`, and when it is paused `bertd resume {job.id} --devices {box.cores}`"
    with pytest.raises(TransitionError, match=f"job {job.id}: trains on 1 device; {then}"):
        box.client.resume(job.id, devices=box.cores)
    box.client.pause(job.id)
    box.wait_for_state(job.id, JobState.PAUSED)
    with pytest.raises(DeviceError, match=rf"--devices 512: this machine has {box.cores} cores; give --devices 1 or"):
        box.client.resume(job.id, devices=512)
    assert box.client.job(job.id).state is JobState.PAUSED
    other = box.submit_wide()
    box.wait_for_state(other.id, JobState.RUNNING)

    body = json.dumps({"devices": box.cores})
    first = post(box, f"/v1/jobs/{job.id}/resume", body, key="wider")
    assert (first[0], first[1]["state"], first[1]["num_devices"]) == (202, "queued", box.cores)
    assert post(box, f"/v1/jobs/{job.id}/resume", body, key="wider") == first
    box.kill()
    box.start()
    assert box.client.job(job.id).num_devices == box.cores
    assert box.client.resume(job.id, devices=box.cores).state is JobState.QUEUED, "what waits, waits for so many"

    box.release()
    box.wait_for_state(job.id, JobState.DONE)
    starts = [record for record in box.records(job.id) if isinstance(record, StartRecord)]
    assert [record.world_size for record in starts] == [1, box.cores]
    assert box.steps(job.id) == list(range(1, 21))
    change = box.client.run(job.id).devices_change
    assert change is not None and (change.before, change.after) == (1, box.cores)
    assert read_recipe(box.run_paths(job.id).recipe).devices.count == box.cores


def test_resume_while_it_is_pausing_goes_on_by_itself(box: DaemonBox) -> None:
    job = box.submit()
    box.wait_for_step(job.id, 3)
    box.client.pause(job.id)
    box.client.resume(job.id)
    box.wait_for_record(job.id, "start", count=2)
    box.release()
    box.wait_for_state(job.id, JobState.DONE)
    assert len([event for event in box.events() if event.type == "start" and event.job_id == job.id]) == 2


def test_checkpoint_is_done_at_the_next_step(box: DaemonBox) -> None:
    job = box.submit()
    box.wait_for_step(job.id, 3)
    assert box.client.checkpoint(job.id).state is JobState.RUNNING

    def is_done() -> bool:
        return any(event.data.get("why") == "command" and event.job_id == job.id for event in box.events())

    wait_for(is_done, what="the checkpoint")


def test_stop_exports(box: DaemonBox) -> None:
    job = box.submit()
    box.wait_for_step(job.id, 3)
    assert box.client.stop(job.id).state is JobState.STOPPING
    box.wait_for_state(job.id, JobState.DONE)
    run = box.client.run(job.id)
    assert run.end is not None and run.end.reason == "stopped"
    assert run.export is not None


def test_a_paused_run_that_is_stopped_still_exports(box: DaemonBox) -> None:
    job = box.submit()
    box.wait_for_step(job.id, 3)
    box.client.pause(job.id)
    box.wait_for_state(job.id, JobState.PAUSED)
    assert box.client.stop(job.id).state is JobState.QUEUED
    box.wait_for_state(job.id, JobState.DONE)
    assert box.client.run(job.id).export is not None


def test_a_stop_that_comes_while_it_pauses_still_exports(box: DaemonBox) -> None:
    job = box.submit()
    box.wait_for_step(job.id, 3)
    box.client.pause(job.id)
    assert box.client.stop(job.id).state is JobState.STOPPING
    box.wait_for_state(job.id, JobState.DONE)
    assert box.client.run(job.id).export is not None


def test_stopping_a_paused_run_twice_drops_it(box: DaemonBox) -> None:
    first = box.submit_wide()
    box.wait_for_step(first.id, 3)
    box.client.pause(first.id)
    box.wait_for_state(first.id, JobState.PAUSED)
    second = box.submit_wide()
    box.wait_for_state(second.id, JobState.RUNNING)
    assert box.client.stop(first.id).state is JobState.QUEUED
    assert box.client.stop(first.id).state is JobState.CANCELLED


@pytest.mark.parametrize("devices", [None, 1])
def test_a_waiting_stop_is_told_and_can_be_taken_back(box: DaemonBox, devices: int | None) -> None:
    first = box.submit_wide()
    box.wait_for_step(first.id, 3)
    box.client.pause(first.id)
    box.wait_for_state(first.id, JobState.PAUSED)
    box.plan(Plan(hold_at=10))
    second = box.submit_wide()
    box.wait_for_state(second.id, JobState.RUNNING)
    assert box.client.stop(first.id).state is JobState.QUEUED
    wait_for(lambda: "waits for" in box.client.job(first.id).reason, what="the scheduler's look")
    reason = box.client.job(first.id).reason
    assert reason.startswith("stopped: ") and "stop again to skip that, or resume it; waits" in reason
    went_on = box.client.resume(first.id, devices=devices)
    assert went_on.state is JobState.QUEUED and "resumed by a person" in went_on.reason
    box.plan(Plan())
    box.release()
    assert box.wait_for_state(first.id, JobState.DONE).reason == "the budget is spent"


def test_ranks_that_die_before_they_train_are_told_as_such(box: DaemonBox) -> None:
    box.plan(Plan(every_attempt=Death(at_step=-1, exit_code=1)))
    job = box.submit()
    seen = set()

    def is_over() -> bool:
        seen.add(box.client.job(job.id).reason.partition(" from")[0])
        return box.client.job(job.id).state is JobState.FAILED

    wait_for(is_over, what="the end")
    assert "restarts" in seen


def test_an_order_nobody_obeyed_is_void_after_a_restart_of_the_job(box: DaemonBox) -> None:
    job = box.submit()
    box.wait_for_step(job.id, 3)
    box.client.pause(job.id)
    box.wait_for_state(job.id, JobState.PAUSED)
    # As if it had been posted at the moment when the ranks exited.
    mailbox.post(box.run_paths(job.id).control, verb=CommandKind.PAUSE, asked_by="a test", now=0.0)
    box.release()
    box.client.resume(job.id)
    box.wait_for_state(job.id, JobState.DONE)
    assert any("void" in event.text for event in box.events() if event.type == "command")


def steps_of(amount: float) -> BudgetRequest:
    return BudgetRequest(unit=BudgetUnit.STEPS, amount=amount)


def test_a_budget_is_changed_while_it_trains_while_it_waits_and_while_it_is_paused(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=3))
    waiting = box.client.submit(box.pretraining(steps=20, hold=True))
    assert box.client.budget(waiting.id, steps_of(5)).budget.amount == 5
    box.client.release(waiting.id)
    box.wait_for_step(waiting.id, 3)
    assert box.client.run(waiting.id).budget.amount == 5

    box.client.budget(waiting.id, steps_of(8))
    box.wait_for_record(waiting.id, "budget", count=2)
    box.client.pause(waiting.id)
    box.wait_for_state(waiting.id, JobState.PAUSED)
    shown = box.client.budget(waiting.id, steps_of(6))
    assert (shown.budget.amount, shown.budget.progress) == (6, 0.5)
    with pytest.raises(QueueError, match="3 steps is too little: 3 steps of 6 steps is spent"):
        box.client.budget(waiting.id, steps_of(3))
    with pytest.raises(RecipeError, match="this run counts steps"):
        box.client.budget(waiting.id, BudgetRequest(unit=BudgetUnit.HOURS, amount=3))

    box.release()
    box.client.resume(waiting.id)
    box.wait_for_state(waiting.id, JobState.DONE)
    assert box.steps(waiting.id)[-1] == 6
    changes = [event.text for event in box.events() if event.type == "budget" and event.job_id == waiting.id]
    assert changes == [
        f"{waiting.run_id}: budget from {before} steps to {after} steps at step {step}"
        for before, after, step in ((20, 5, 0), (5, 8, 3), (8, 6, 3))
    ]
    with pytest.raises(TransitionError, match="it is done"):
        box.client.budget(waiting.id, steps_of(9))


def test_a_budget_that_nobody_heard_holds_after_the_next_start(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=2, ignores_orders=True))
    job = box.submit(steps=6)
    box.wait_for_step(job.id, 2)
    box.client.budget(job.id, steps_of(9))
    box.plan(Plan())
    os.kill(box.runner(job.id).pid, signal.SIGKILL)
    box.wait_for_state(job.id, JobState.DONE)
    assert box.steps(job.id)[-1] == 9


def test_a_crash_is_restarted_and_shown(box: DaemonBox) -> None:
    box.plan(Plan(deaths={1: Death(at_step=7, signal=signal.SIGKILL)}))
    job = box.submit()
    box.wait_for_state(job.id, JobState.DONE)
    run = box.client.run(job.id)
    assert (run.restarts, run.steps_lost) == (1, 2)
    assert any(event.type == "restart" and "signal 9" in event.text for event in box.events())


def test_a_run_that_only_crashes_fails_with_cause_and_can_be_resumed(box: DaemonBox) -> None:
    box.plan(Plan(every_attempt=Death(at_step=7, signal=signal.SIGSEGV)))
    job = box.submit()
    failed = box.wait_for_state(job.id, JobState.FAILED)
    assert "signal 11 (SIGSEGV)" in failed.reason
    assert "given up after 3 restarts" in failed.reason
    assert box.client.run(job.id).steps_lost > 0
    box.plan(Plan())
    box.client.resume(job.id)
    box.wait_for_state(job.id, JobState.DONE)
    assert box.client.job(job.id).ended_t is not None


def test_a_stop_that_the_ranks_did_not_live_to_obey_is_void_after_a_resume(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=3, ignores_orders=True, every_attempt=Death(at_step=4, exit_code=76)))
    job = box.submit()
    box.wait_for_step(job.id, 3)
    box.client.stop(job.id)
    box.release()
    box.wait_for_state(job.id, JobState.FAILED)
    box.plan(Plan())
    box.client.resume(job.id)
    done = box.wait_for_state(job.id, JobState.DONE)
    assert done.reason == "the budget is spent"


def test_a_run_whose_folder_is_gone_is_lost_with_its_place(box: DaemonBox) -> None:
    job = box.client.submit(box.pretraining(hold=True))
    shutil.rmtree(job.folder)
    assert box.client.release(job.id).state is JobState.QUEUED
    lost = box.wait_for_state(job.id, JobState.LOST)
    assert lost.reason.startswith(f"{job.folder}: the folder is gone")
    assert job.id in [listed.id for listed in box.client.status().jobs]


# ---- Finetuning ----------------------------------------------------------------------------------------


def exported(box: DaemonBox) -> JobView:
    """A finished run."""
    box.plan(Plan())
    job = box.submit(steps=5)
    return box.wait_for_state(job.id, JobState.DONE)


def test_a_finetuning_of_the_newest_export_gets_a_score(box: DaemonBox) -> None:
    run = exported(box)
    job = box.submit_finetuning("cola")
    assert (job.kind, job.run_id, job.num_devices) == (JobKind.FINETUNE, run.run_id, box.cores)
    done = box.wait_for_state(job.id, JobState.DONE)
    assert done.reason == "cola matthews 0.2500, majority class 0.0000"
    (score,) = box.client.scores(run=run.run_id)
    assert (score.job_id, score.run_id) == (job.id, run.run_id)
    assert score.score.source == f"{run.run_id}/step-000000005"
    assert score in box.client.scores()
    assert box.client.job(job.id).progress == 1.0


def test_a_finetuning_can_name_a_run_and_a_step_or_a_path(box: DaemonBox) -> None:
    run = exported(box)
    export = box.run_paths(run.id).exports / "step-000000005"
    for name in ("@", f"{run.id}", run.run_id, "@@5", f"{run.id}@5", f"{run.run_id}@5"):
        assert box.submit_finetuning("cola", run=name).run_id == run.run_id
    at_markers = KeptCheckpoint(
        name="step-000000005",
        step=5,
        progress=1.0,
        size_bytes=1,
        validation_loss=None,
        markers=[0.25, 0.5],
        reasons=["marker 0.25", "marker 0.5"],
    )
    write_checkpoint_index(box.run_paths(run.id), KeptCheckpoints(checkpoints=[at_markers]))
    assert box.client.run("@").kept == [at_markers]
    for name in ("@@0.25", f"{run.id}@.5"):
        spec = box.run_paths(run.id).finetune(box.submit_finetuning("cola", run=name).id).finetune_spec
        assert json.loads(spec.read_text())["source"] == str(export)
    with pytest.raises(CheckpointError, match=r"has not passed a marker 0.75; those it has passed: 0.25, 0.5"):
        box.submit_finetuning("cola", run="@@0.75")
    foreign = box.submit_finetuning("cola", run=str(export))
    assert foreign.run_id == str(export)
    assert foreign.folder == str(box.state.foreign_finetune(foreign.id).root)
    with pytest.raises(CheckpointError, match="step-000000006: not an export"):
        box.submit_finetuning("cola", run="@@6")
    with pytest.raises(UnknownJobError):
        box.submit_finetuning("cola", run="0-other")


def test_inputs_are_as_long_as_the_kind_of_a_task_of_one_s_own_needs(box: DaemonBox, tmp_path: Path) -> None:
    run = exported(box)
    for name, own, max_length in (
        ("train.json", {"is_squad": True, "text": ("question", "context"), "label": "answers"}, 384),
        ("train.conll", {"text": ("1",), "label": "last"}, 128),
    ):
        (tmp_path / name).touch()
        task = OwnTask.model_validate({"train": str(tmp_path / name), **own})
        order = SubmitFinetune(run=run.run_id, task="cola", data_dir=str(tmp_path), own=task)
        job = box.client.submit(order)
        spec = FinetuneSpec.model_validate_json(box.run_paths(run.id).finetune(job.id).finetune_spec.read_bytes())
        assert (spec.own, spec.max_length) == (task, max_length)


def test_a_finetuning_without_export_or_data_is_refused(box: DaemonBox) -> None:
    run = exported(box)
    job = box.client.submit(box.pretraining(hold=True))
    with pytest.raises(CheckpointError, match=f"{job.run_id}: has no export yet, since it has not trained: it is held"):
        box.submit_finetuning("cola", run=job.run_id)
    with pytest.raises(CorpusError, match="/nowhere: no such folder"):
        box.client.submit(SubmitFinetune(run=run.run_id, task="cola", data_dir="/nowhere"))
    with pytest.raises(CorpusError, match=r"/etc/CoLA/train.tsv: does not exist, and cola needs it"):
        box.client.submit(SubmitFinetune(run=run.run_id, task="cola", data_dir="/etc"))


def test_a_run_shows_whose_weights_it_begins_from(box: DaemonBox) -> None:
    random = box.client.submit(box.pretraining(hold=True))
    submission = box.pretraining(hold=True)
    named = box.client.submit(submission.model_copy(update={"overrides": ["model.start_from=google-bert/bert-tiny"]}))
    assert box.client.run(random.id).start_from is None
    assert box.client.run(named.id).start_from == "google-bert/bert-tiny"


@pytest.mark.parametrize(
    ("override", "error", "told"),
    [
        ("budget.hours=5e-324", RecipeError, "the start of a run, which is charged, takes longer; give 10s or more"),
        ("model.start_from=/dev/zero", CheckpointError, r"start_from = /dev/zero: a device, and not a folder"),
        ("model.start_from=http://evil/x", CheckpointError, "neither an absolute path nor a name on the hub"),
        ("batch.sequences=1000000000000000000", RecipeError, "at most 16,777,216"),
        (f"model.layers={'9' * 4000}", RecipeError, r"\[model\]: layers = 9"),
        (f"checkpoint.every={'9' * 400}s", RecipeError, r"every = .* longer than 1,000,000h"),
        (f"stop.rules=['after {'9' * 400}h loss > 6']", RecipeError, r"longer than 1,000,000h"),
    ],
)
def test_a_recipe_that_is_known_to_fail_is_refused(
    box: DaemonBox, override: str, error: type[BertdError], told: str
) -> None:
    submission = box.pretraining().model_copy(update={"overrides": [override]})
    with pytest.raises(error, match=told):
        box.client.submit(submission)


def test_a_budget_cannot_be_set_below_the_start_of_a_run(box: DaemonBox) -> None:
    timed = box.pretraining(hold=True).model_copy(update={"overrides": ["budget.hours=1.0"]})
    run = box.client.submit(timed)
    with pytest.raises(RecipeError, match="give 10s or more"):
        box.client.budget(run.id, BudgetRequest(unit=BudgetUnit.HOURS, amount=5e-324))


def test_what_the_daemon_cannot_look_at_is_refused_in_a_line(box: DaemonBox) -> None:
    run = exported(box)
    too_long = "/" + "x" * 5000
    order = SubmitFinetune(run=run.run_id, task="cola", data_dir=too_long)
    with pytest.raises(CorpusError, match="cannot be read by the daemon: File name too long; check"):
        box.client.submit(order)
    with pytest.raises(CheckpointError, match="cannot be read by the daemon: File name too long; check"):
        box.client.submit(order.model_copy(update={"run": too_long, "data_dir": "/"}))
    with pytest.raises(UnknownJobError):
        box.client.submit(order.model_copy(update={"run": "9" * 30, "data_dir": "/"}))


def test_a_running_finetuning_is_stopped_and_cannot_be_paused(box: DaemonBox) -> None:
    exported(box)
    job = box.submit_finetuning("wnli")
    box.wait_for_state(job.id, JobState.RUNNING)
    with pytest.raises(TransitionError, match="cannot pause a finetune"):
        box.client.pause(job.id)
    box.client.stop(job.id)
    box.wait_for_state(job.id, JobState.CANCELLED)


def test_a_broken_finetuning_fails_alone(box: DaemonBox) -> None:
    exported(box)
    broken, good = box.submit_finetuning("rte"), box.submit_finetuning("cola")
    failed = box.wait_for_state(broken.id, JobState.FAILED)
    assert "no rows" in failed.reason
    assert failed.progress != 1.0
    box.wait_for_state(good.id, JobState.DONE)


def test_unknown_names_are_errors_with_a_hint(box: DaemonBox) -> None:
    with pytest.raises(UnknownJobError, match="job 9999: no such job; `bertd jobs` lists them"):
        box.client.job(9999)
    with pytest.raises(UnknownJobError, match="'9-x': no such run"):
        box.client.run("9-x")
    with pytest.raises(UnknownJobError, match="'x': no such job"):
        box.client.pause("x")
    with pytest.raises(UnknownJobError, match="'9-x': no such job; .*`bertd jobs` lists them"):
        box.client.pause("9-x")


def test_a_job_is_acted_on_by_its_run_id_and_as_the_newest(box: DaemonBox) -> None:
    id = box.client.submit(box.pretraining(hold=True)).id
    assert box.client.job(f"{id}-fake").id == id
    assert box.client.release(f"{id}-fake").state is not JobState.HELD
    assert box.client.stop("@").id == id


def test_what_runs_is_in_the_status_however_many_newer_jobs_wait(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=3))
    running = box.submit()
    box.wait_for_step(running.id, 3)
    waiting = [box.client.submit(box.pretraining(hold=True)).id for _ in range(MAX_STATUS_JOBS + 2)]
    status = box.client.status()
    assert running.id in {job.id for job in status.jobs}
    assert running.id in {run.job_id for run in status.runs}
    assert len(status.jobs) == MAX_STATUS_JOBS
    assert status.num_jobs_by_state[JobState.HELD] == len(waiting)
    assert status.num_runs == len(waiting) + 1
    assert status.num_jobs == len(box.client.jobs())
    assert box.client.job("@").id == box.client.run("@").job_id == running.id
    box.client.stop(running.id)
    box.release()
    box.wait_for_state(running.id, JobState.DONE)
    assert [run.job_id for run in box.client.status().runs if run.state is JobState.DONE] == [running.id]


def test_a_run_that_was_cancelled_before_it_began_has_nothing_left(box: DaemonBox) -> None:
    job = box.client.submit(box.pretraining(hold=True))
    box.client.stop(job.id)
    budget = box.client.run(job.id).budget
    assert (budget.progress, budget.remaining_s, budget.projected_step) == (0.0, 0.0, 0)


def test_lists_are_whole_though_they_come_in_pages(box: DaemonBox, monkeypatch: pytest.MonkeyPatch) -> None:
    run = exported(box)
    scored = [box.submit_finetuning("cola", run=run.run_id).id for _ in range(3)]
    for id in scored:
        box.wait_for_state(id, JobState.DONE)
    ids = [box.client.submit(box.pretraining(hold=True)).id for _ in range(5)]
    box.client.stop(ids[-1])
    whole = box.client.jobs(), box.client.runs(), box.client.scores()
    assert [job.id for job in whole[0]][:5] == [*ids[-2::-1], ids[-1]]
    assert [run.job_id for run in whole[1]][:5] == ids[::-1]
    assert [score.job_id for score in whole[2]][:3] == scored[::-1]
    request_list = box.client._get_list

    def request_page(model: type[Record], path: str) -> list[Record]:
        return request_list(model, f"{path}{'&' if '?' in path else '?'}limit=2")

    for module in (client, typed_requests):
        monkeypatch.setattr(module, "PAGE_ROWS", 2)
    monkeypatch.setattr(box.client, "_get_list", request_page)
    assert (box.client.jobs(), box.client.runs(), box.client.scores()) == whole
    assert [score.job_id for score in box.client.scores(run.run_id)] == scored[::-1]


def test_what_was_answered_with_silence_is_not_done_later(box: DaemonBox, monkeypatch: pytest.MonkeyPatch) -> None:
    assert box.process is not None
    job = box.client.submit(box.pretraining(hold=True))
    actions: list[Callable[[], object]] = [
        lambda: box.client.stop(job.id),
        lambda: box.client.release(job.id),
        lambda: box.client.priority(job.id, 7),
        lambda: box.client.budget(job.id, BudgetRequest(unit=BudgetUnit.STEPS, amount=90)),
        lambda: box.client.submit(box.pretraining()),
        lambda: box.client.shutdown(),
    ]
    # Long enough for a busy machine to send each request whole.
    monkeypatch.setattr(http, "TIMEOUT_S", 2.0)
    os.kill(box.process.pid, signal.SIGSTOP)
    try:
        for act in actions:
            with pytest.raises(DaemonUnreachableError, match="no answer in 2 s; .*look with `bertd jobs`"):
                act()
    finally:
        os.kill(box.process.pid, signal.SIGCONT)
    monkeypatch.undo()

    wait_for(lambda: box.log.count("the client had left") == len(actions), what="the requests to be dropped")
    after = box.client.job(job.id)
    assert (after.state, after.priority) == (JobState.HELD, 0)
    assert box.client.run(job.id).budget.amount == 20
    assert box.client.jobs()[0].id == job.id
    assert box.process.poll() is None
