"""Jobs like other jobs, in a real daemon."""

from __future__ import annotations

import pytest

from bertd.api.models import CloneRequest
from bertd.errors import RecipeError, SubmissionError
from bertd.jobs.runner.command_job_runner import read_command_job_spec
from bertd.records import FinetuneSpec, JobState
from bertd.run.recipe.load import parse_recipe
from tests.daemon.daemon_box import DaemonBox
from tests.daemon.test_expected_times import submit


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
