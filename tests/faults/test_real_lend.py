"""`bertd finetune --now` with nothing fake: a run, a finetuning on its core, and a daemon that is killed twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bertd.api.models import SubmitPretrain
from bertd.records import CheckpointRecord, JobState, LendRecord, StartRecord, StartupRecord
from bertd.run.journal import read_journal
from tests.faults.real_daemon import RealDaemonBox
from tests.faults.real_run import recipe
from tests.glue.glue_jobs import write_cola
from tests.glue.tiny_export import save_tiny_export
from tests.jobs.runner_box import with_tests_on_path
from tests.waiting import wait_for

pytestmark = pytest.mark.long

NEVER_REACHED = 10_000_000


def test_a_real_run_comes_back_after_a_real_finetuning_though_the_daemon_was_killed(
    real_box: RealDaemonBox, dataset: Path, tmp_path: Path
) -> None:
    box = real_box
    export, data = save_tiny_export(tmp_path / "export"), write_cola(tmp_path / "texts")
    text = recipe(dataset, steps=NEVER_REACHED, count=1)
    run = box.client.submit(SubmitPretrain(recipe_toml=text, recipe_name="tiny.toml"))
    paths = box.state.run(f"{run.id}-tiny")

    def finetune(*options: str) -> str:
        arguments = [str(export), "--task", "cola", "--data", str(data), "--epochs", "3", "--now", *options]
        command = [sys.executable, "-m", "bertd", "finetune", *arguments, "--socket", str(box.socket)]
        return subprocess.run(command, env=with_tests_on_path(), check=True, capture_output=True, text=True).stdout

    def estimate() -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(finetune("--dry-run", "--json"))
        return parsed

    wait_for(lambda: box.client.job(run.id).started_t is not None, what=f"the run's start\n{box.log}")
    # The daemon knows the cost once it has read the run's first step and first checkpoint.
    wait_for(lambda: estimate()["charged_s"] is not None, what=f"the cost: {box.client.job(run.id)}\n{box.log}")
    cost = estimate()
    assert cost["run_job_id"] == run.id
    assert 0 < cost["charged_s"] == cost["save_s"] + cost["start_s"]
    assert f"job {run.id} (1-tiny) saves and is paused" in finetune("--yes")
    (job,) = [each.id for each in box.client.jobs() if each.id != run.id]
    box.kill()
    box.start()
    wait_for(lambda: box.client.job(job).started_t is not None, what=f"{box.client.job(job)}\n{box.log}")
    assert box.client.job(run.id).devices == []
    box.kill()
    box.start()
    box.wait_for_state(job, JobState.DONE)
    wait_for(
        lambda: sum(isinstance(record, StartupRecord) for record in read_journal(paths.journal)) == 2,
        what=f"the run to train again: {box.client.job(run.id)}\n{box.log}",
    )
    wait_for(lambda: box.client.job(run.id).lend is None, what="the lend to be over")
    journal = read_journal(paths.journal)
    (lend,) = [record for record in journal if isinstance(record, LendRecord)]
    first, again = [record for record in journal if isinstance(record, StartRecord)]
    saved = [record for record in journal if isinstance(record, CheckpointRecord) and record.why == "pause"]
    assert lend.jobs == [job] and lend.save_s == saved[0].seconds
    assert again.step == saved[0].step == lend.step > first.step
    # Only the save was charged in between.
    assert again.charged_s - saved[0].charged_s < lend.wall_s
    (over,) = [event for event in box.events() if event.type == "lending" and event.data["state"] == "over"]
    assert over.data["start_s"] == [record for record in journal if isinstance(record, StartupRecord)][1].total_s
    assert box.client.run(run.id).steps_lost == 0
    assert [view.job_id for view in box.client.scores()] == [job]
    box.client.stop(run.id)
    box.wait_for_state(run.id, JobState.DONE)
