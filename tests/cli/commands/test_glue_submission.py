"""`bertd glue submit`: the model of each task, and the command that makes a missing one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from bertd.api.models import ScoreView, SubmitFinetune
from bertd.cli.commands import glue_submission
from bertd.records import FinetuneSpec, SubmissionRequest
from bertd.run.paths import JobPaths
from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon

SOURCE = "7-demo/step-000012000"


def trial(score: float, *, task: str, seed: int, trial: str | None = None, kept: Path | None = None) -> ScoreView:
    one = samples.score()
    fields = {"score": score, "task": task, "seed": seed, "trial": trial, "kept": None if kept is None else str(kept)}
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


def test_the_best_seed_is_submitted_and_a_missing_model_has_its_command(
    bertd: Bertd, daemon: FakeDaemon, asked: list[SubmissionRequest], job: JobPaths, tmp_path: Path
) -> None:
    kept = job.trial("rte-seed2").finetuned_model
    kept.mkdir(parents=True)
    spec = FinetuneSpec(
        task="cola", data_dir="/d", source="/e", source_name=SOURCE, seed=3, lr=4e-5, warmup=0.1, weight_decay=0.0
    )
    job.trial("cola-seed3").finetune_spec.parent.mkdir()
    job.trial("cola-seed3").finetune_spec.write_text(spec.model_dump_json())
    daemon.scores = [
        trial(0.70, task="rte", seed=1, kept=job.finetuned_model),
        trial(0.72, task="rte", seed=2, trial="rte-seed2", kept=kept),
        trial(0.50, task="cola", seed=1, kept=kept),
        trial(0.60, task="cola", seed=3, trial="cola-seed3"),
    ]
    data = tmp_path / "the data"
    data.mkdir()

    assert bertd("glue", "submit", "7-demo", "--data", str(data), "--out", str(tmp_path / "g.zip")).code == 0

    (request,) = asked
    assert [(model.task, model.folder) for model in request.models] == [("rte", str(kept))]
    assert "seed 2" in request.models[0].description and not request.is_partial
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


def test_what_is_not_a_zip_or_has_no_score_is_refused(
    bertd: Bertd, daemon: FakeDaemon, asked: list[SubmissionRequest], tmp_path: Path
) -> None:
    assert bertd("glue", "submit", "7-demo", "--data", str(tmp_path), "--out", "g.tar").code == 2
    daemon.scores = []
    refused = bertd("glue", "submit", "7-demo", "--data", str(tmp_path), "--out", "g.zip")
    assert refused.code == 65 and "--keep" not in refused.err and not asked
