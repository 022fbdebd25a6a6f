"""Jobs like other jobs, in a real daemon."""

from __future__ import annotations

import pytest

from bertd.api.models import CloneRequest, SubmitEvaluate, SubmitExport
from bertd.errors import RecipeError, RunFolderError, SubmissionError, UnknownJobError
from bertd.jobs.runner.command_job_runner import read_command_job_spec
from bertd.records import CommandJobSpec, FinetuneSpec, JobKind, JobState
from bertd.run.paths import newest_first, step_of
from bertd.run.recipe.load import parse_recipe
from tests.daemon.daemon_box import DaemonBox
from tests.daemon.test_expected_times import submit
from tests.daemon.test_program_jobs import prepare, write_sources


def test_a_clone_has_the_specification_of_the_other_job_with_changes_and_survives_kill_9(box: DaemonBox) -> None:
    client = box.client
    run = box.submit()
    box.wait_for_state(run.id, JobState.DONE)
    client.drain("cpu")
    client.priority(client.submit(box.pretraining()).id, 3)
    clone = client.clone(run.id, CloneRequest(settings=["optimizer.peak_lr=1e-4", "run.name=other"]))
    assert (clone.name, clone.kind, clone.priority) == ("other", "pretrain", 0)
    before, after = (parse_recipe(client.recipe(id).toml, name="x") for id in (run.id, clone.id))
    assert after.optimizer.peak_lr == 1e-4
    assert after.model == before.model and after.budget == before.budget
    with pytest.raises(RecipeError, match="peek_lr"):
        client.clone(run.id, CloneRequest(settings=["optimizer.peek_lr=1"]))
    finetuning = box.submit_finetuning("cola", run=str(run.id))
    other = client.clone(finetuning.id, CloneRequest(settings=["lr=3e-5", "task=rte"]))
    specs = [
        FinetuneSpec.model_validate_json(box.state.run(run.run_id).finetune(id).finetune_spec.read_bytes())
        for id in (finetuning.id, other.id)
    ]
    assert specs[1] == specs[0].model_copy(update={"lr": 3e-5, "task": "rte"})
    with pytest.raises(SubmissionError, match="with one of batch_size, data_dir"):
        client.clone(finetuning.id, CloneRequest(settings=["lrr=1"]))
    with pytest.raises(SubmissionError, match="epochs"):
        client.clone(finetuning.id, CloneRequest(settings=["epochs=0"]))
    command = submit(box, "true", cpus=1, time_limit_s=60)
    like = client.clone(command.id, CloneRequest(settings=['argv=["sleep", "1"]'], hold=True, priority=4))
    box.kill()
    box.start()
    assert (client.job(like.id).state, client.job(like.id).priority) == (JobState.HELD, 4)
    first, second = (read_command_job_spec(box.state.command(id).command_spec) for id in (command.id, like.id))
    assert second == first.model_copy(update={"argv": ["sleep", "1"], "job_id": like.id})
    client.undrain("cpu")
    box.clear()


def test_data_sets_evaluations_and_exports_are_cloned_by_what_they_are_of(box: DaemonBox) -> None:
    client = box.client
    write_sources(box.folder)
    run = box.submit()
    box.wait_for_state(run.id, JobState.DONE)
    newest = newest_first(box.state.run(run.run_id).checkpoints)[0]
    client.drain("cpu")

    def spec(id: int) -> CommandJobSpec:
        return read_command_job_spec(box.state.command(id).command_spec)

    data = client.submit(prepare(box))
    with pytest.raises(SubmissionError, match="with one of arguments, cpus, cwd"):
        client.clone(data.id, CloneRequest(settings=["processes=1"]))
    other = client.clone(data.id, CloneRequest(settings=[f"out={box.folder}/other"], priority=2))
    assert (other.kind, other.name, other.priority) == (JobKind.PREPARE, "made", 2)
    made = str(box.folder / "other")
    arguments = [f"--out={made}" if each.startswith("--out=") else each for each in spec(data.id).arguments]
    assert (spec(other.id).arguments, spec(other.id).output) == (arguments, made)
    assert spec(other.id).cwd == spec(data.id).cwd

    # What @ meant when it was queued.
    export = client.submit(SubmitExport(run="@", out=str(box.folder / "a")))
    box.submit()
    like = client.clone(export.id, CloneRequest(settings=[f"out={box.folder}/b"], hold=True))
    assert (like.run_id, like.name, like.state) == (run.run_id, export.name, JobState.HELD)
    assert spec(like.id).arguments == ["--out", f"{box.folder}/b"]
    evaluation = client.submit(SubmitEvaluate(run=f"{run.id}@{step_of(newest)}", sequences=8, cpus=1, retries=2))
    again = client.clone(evaluation.id, CloneRequest(settings=["sequences=16"]))
    changed = [{"8": "16"}.get(each, each) for each in spec(evaluation.id).arguments]
    assert spec(again.id).arguments == changed and changed != spec(evaluation.id).arguments
    client.undrain("cpu")
    box.clear()


def test_a_clone_that_is_refused_before_it_is_made_is_in_the_audit(box: DaemonBox) -> None:
    run = box.submit()
    box.wait_for_state(run.id, JobState.DONE)
    (box.state.run(run.run_id).recipe).unlink()
    with pytest.raises(RunFolderError, match="cannot be cloned without it"):
        box.client.clone(run.id, CloneRequest())
    with pytest.raises(UnknownJobError):
        box.client.clone(77, CloneRequest())
    rows = {row.request: row for row in box.client.audit()}
    assert "cannot be cloned" in rows[f"POST /v1/jobs/{run.id}/clone"].outcome
    assert rows["POST /v1/jobs/77/clone"].status == 404
