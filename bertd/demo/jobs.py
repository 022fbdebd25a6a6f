"""Submit the demo's two jobs and follow them to their end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from bertd.api.client import Client
from bertd.api.models import JobView, RunView, SubmitFinetune, SubmitPretrain
from bertd.demo.private_daemon import PrivateDaemon
from bertd.errors import BertdError
from bertd.records import JobState, ScoreRecord
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import find_recipe, parse_recipe

_POLL_S = 0.5
_END_STATES = {JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST, JobState.PAUSED}
_PRETRAIN_GRACE_S = 240.0
"""Seconds beyond the budget for starting, validating, saving and exporting, before the demo gives up."""
_FINETUNE_TIMEOUT_S = 600.0


def submit_pretraining(client: Client, *, shards: Path, budget_s: float, num_devices: int) -> JobView:
    """Submit recipes/demo.toml on the demo's data.

    Raises:
        RecipeError: the recipe does not accept these values.
    """
    recipe = find_recipe("demo")
    text = recipe.read_text(encoding="utf-8")
    overrides = [
        f"data.shards={json.dumps(str(shards))}",
        f"budget.hours={budget_s / 3600!r}",
        f"devices.count={num_devices}",
    ]
    parse_recipe(text, name=recipe.name, overrides=overrides)
    return client.submit(SubmitPretrain(recipe_toml=text, recipe_name=recipe.name, overrides=overrides))


def follow_pretraining(
    daemon: PrivateDaemon, job: JobView, *, budget_s: float, display: Callable[[RunView], None]
) -> RunView:
    """Call `display` with the run's newest state until it ends; returns the last state.

    Raises:
        BertdError: the run failed; the message says why.
    """
    deadline = time.monotonic() + budget_s + _PRETRAIN_GRACE_S
    while True:
        daemon.check_alive()
        run = daemon.client.run(job.id)
        display(run)
        if daemon.client.job(job.id).state in _END_STATES:
            break
        _check_deadline(job, deadline=deadline)
        time.sleep(_POLL_S)
    _check_done(daemon.client.job(job.id))
    run = daemon.client.run(job.id)
    if run.validation is None or run.export is None:
        raise BertdError(f"{run.folder}: the run ended without a validation or an export; see logs/job.log in it")
    return run


def submit_finetuning(client: Client, run: RunView, *, glue: Path, lr: float, epochs: int) -> JobView:
    """Submit the demo's task on the run's export."""
    return client.submit(
        SubmitFinetune(run=run.id, task="cola", data_dir=str(glue), lr=lr, batch_size=32, epochs=epochs)
    )


def follow_finetuning(daemon: PrivateDaemon, job: JobView, *, display: Callable[[JobView], None]) -> ScoreRecord:
    """Call `display` with the job's newest state until it ends; returns its score.

    Raises:
        BertdError: the job failed; the message says why.
    """
    deadline = time.monotonic() + _FINETUNE_TIMEOUT_S
    while True:
        daemon.check_alive()
        job = daemon.client.job(job.id)
        display(job)
        if job.state in _END_STATES:
            break
        _check_deadline(job, deadline=deadline)
        time.sleep(_POLL_S)
    _check_done(job)
    for view in daemon.client.scores():
        if view.job_id == job.id:
            return view.score
    raise BertdError(f"{job.folder}: the finetuning ended without a score; see logs/job.log in it")


def initial_validation_loss(client: Client, run: RunView) -> float:
    """Validation loss before the first step; the demo's output bias makes it a guess by training word frequency."""
    return client.series(run.id, x="step", columns=["validation"]).columns["validation"][0][1]


def export_folder(run: RunView) -> Path:
    """Folder of the run's export."""
    assert run.export is not None
    return RunPaths(Path(run.folder)).exports / run.export.name


def _check_deadline(job: JobView, *, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise BertdError(f"job {job.id} is still {job.state} long after its budget; see {job.folder}/logs/job.log")


def _check_done(job: JobView) -> None:
    if job.state != JobState.DONE:
        raise BertdError(f"job {job.id} is {job.state}: {job.reason}; its log is {job.folder}/logs/job.log")
