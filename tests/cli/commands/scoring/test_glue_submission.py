"""`bertd glue submit`: the model of each task, and the command that makes a missing one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from bertd.api.models import ScoreView, SubmitFinetune, SubmitGrid
from bertd.cli.commands.scoring import glue_submission
from bertd.records import FinetuneSpec, GridSpec, Keep, Preset, SubmissionRequest
from bertd.run.grid.finetune_grid import make_trials
from bertd.run.paths import JobPaths
from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon

SOURCE = "7-demo/step-000012000"


def trial(
    score: float, *, task: str, seed: int, lr: float = 5e-5, trial: str | None = None, kept: Path | None = None
) -> ScoreView:
    one = samples.score()
    fields = {
        "score": score,
        "lr": lr,
        "task": task,
        "seed": seed,
        "trial": trial,
        "kept": None if kept is None else str(kept),
    }
    return one.model_copy(update={"score": one.score.model_copy(update=fields)})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[SubmissionRequest]:
    """What the program was asked."""
    requests: list[SubmissionRequest] = []
    monkeypatch.setattr(
        glue_submission,
        "run_module",
        lambda module, request: requests.append(SubmissionRequest.model_validate_json(request)),
    )
    return requests


@pytest.fixture
def job(daemon: FakeDaemon, tmp_path: Path) -> JobPaths:
    """The folder of job 8, of which the samples' scores are."""
    daemon.jobs = [
        job.model_copy(update={"folder": str(tmp_path / "job")}) if job.id == 8 else job for job in daemon.jobs
    ]
    return JobPaths(tmp_path / "job")


def test_the_best_trial_is_submitted_and_a_missing_model_has_its_command(
    bertd: Bertd, daemon: FakeDaemon, asked: list[SubmissionRequest], job: JobPaths, tmp_path: Path
) -> None:
    kept = job.trial("rte-seed3").finetuned_model
    kept.mkdir(parents=True)
    spec = FinetuneSpec(
        task="cola", data_dir="/d", source="/e", source_name=SOURCE, seed=3, lr=4e-5, warmup=0.1, weight_decay=0.0
    )
    job.trial("cola-seed3").finetune_spec.parent.mkdir()
    job.trial("cola-seed3").finetune_spec.write_text(spec.model_dump_json())
    daemon.scores = [
        trial(0.70, task="rte", seed=1, kept=job.finetuned_model),
        trial(0.72, task="rte", seed=2, trial="rte-seed2"),
        trial(0.50, task="cola", seed=1, kept=kept),
        # Its setting has the lower median.
        trial(0.73, task="rte", seed=3, lr=1e-6, trial="rte-seed3", kept=kept),
        trial(0.10, task="rte", seed=4, lr=1e-6),
        trial(0.60, task="cola", seed=3, trial="cola-seed3"),
    ]
    data = tmp_path / "the data"
    data.mkdir()

    assert bertd("glue", "submit", "7-demo", "--data", str(data), "--out", str(tmp_path / "g.zip")).code == 0

    (request,) = asked
    assert [(model.task, model.folder) for model in request.models] == [("rte", str(kept))]
    assert "seed 3" in request.models[0].description and not request.is_partial
    assert set(request.gaps) == {"cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "wnli"}
    assert "was not finetuned" in request.gaps["qqp"]
    # The command is taken as it is printed, and repeats the trial.
    command = shlex.split(request.gaps["cola"].split("`")[1])
    data_dir = command[command.index("--data") + 1]
    assert data_dir == str(data)
    assert bertd(*command[1:]).code == 0
    body = SubmitFinetune.model_validate_json(next(r.body for r in daemon.requests if r.method == "POST"))
    assert body == SubmitFinetune(
        run="7-demo@12000",
        task="cola",
        data_dir=str(data),
        keep="best",
        seed=3,
        lr=4e-5,
        weight_decay=0.0,
        warmup=0.1,
    )


def test_the_better_start_is_submitted_and_a_missing_model_from_mnli_has_the_grids_command(
    bertd: Bertd, daemon: FakeDaemon, asked: list[SubmissionRequest], job: JobPaths, tmp_path: Path
) -> None:
    kept = job.trial("sts-b-from-mnli").finetuned_model
    kept.mkdir(parents=True)
    trials = make_trials(["mnli", "rte", "mrpc"], preset=Preset.FAIR, num_seeds=2, via="mnli")
    spec = GridSpec(
        preset=Preset.FAIR, source="/e", source_name=SOURCE, data_dir="/d", num_cpu_workers=1, trials=trials
    )
    job.grid_spec.write_text(spec.model_dump_json())

    def via(view: ScoreView) -> ScoreView:
        return view.model_copy(update={"score": view.score.model_copy(update={"via": "mnli"})})

    daemon.scores = [
        *(trial(0.60, task=task, seed=42, trial=f"{task}-direct") for task in ("rte", "mrpc", "sts-b")),
        *(via(trial(0.70, task=task, seed=43, trial=f"{task}-from-mnli")) for task in ("rte", "mrpc")),
        via(trial(0.65, task="sts-b", seed=42, trial="sts-b-from-mnli", kept=kept)),
    ]
    (tmp_path / "glue").mkdir()
    order = ["glue", "submit", "7-demo", "--data", str(tmp_path / "glue"), "--out", str(tmp_path / "g.zip")]
    assert bertd(*order).code == 0
    (request,) = asked
    assert [(model.task, model.folder) for model in request.models] == [("sts-b", str(kept))]
    assert request.models[0].description.startswith("from the model of mnli, seed 42")
    # One grid makes both: MNLI is trained once.
    commands = {request.gaps[task].split("`")[1] for task in ("rte", "mrpc")}
    (command,) = map(shlex.split, commands)
    assert bertd(*command[1:]).code == 0
    body = SubmitGrid.model_validate_json(next(r.body for r in daemon.requests if r.path == "/v1/jobs" and r.body))
    assert body == SubmitGrid(
        run="7-demo@12000",
        tasks=["mrpc", "mnli", "rte"],
        preset=Preset.FAIR,
        num_seeds=2,
        via="mnli",
        keep=Keep.BEST,
        data_dir=str(tmp_path / "glue"),
    )

    worse = [view for view in daemon.scores if view.score.task != "sts-b" or view.score.via is None]
    daemon.scores = [*worse, via(trial(0.10, task="sts-b", seed=42, trial="sts-b-from-mnli", kept=kept))]
    spec_of_direct = FinetuneSpec(task="sts-b", data_dir="/d", source="/e", source_name=SOURCE)
    job.trial("sts-b-direct").root.mkdir()
    job.trial("sts-b-direct").finetune_spec.write_text(spec_of_direct.model_dump_json())
    assert bertd(*order).code == 0
    assert asked[-1].models == [] and "--task sts-b" in asked[-1].gaps["sts-b"]


def test_what_is_not_a_zip_or_has_no_score_is_refused(
    bertd: Bertd, daemon: FakeDaemon, asked: list[SubmissionRequest], tmp_path: Path
) -> None:
    assert bertd("glue", "submit", "7-demo", "--data", str(tmp_path), "--out", "g.tar").code == 2
    daemon.scores = []
    refused = bertd("glue", "submit", "7-demo", "--data", str(tmp_path), "--out", "g.zip")
    assert refused.code == 65 and "--keep" not in refused.err and not asked
