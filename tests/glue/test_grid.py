"""A grid under its real runner with real workers: the scores do not depend on what was killed meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from bertd.records import GridSpec, GridTrial, JobState, Outcome, Preset, Via
from bertd.run.journal import read_scores
from bertd.run.paths import JobPaths
from tests.glue.glue_jobs import write_cola, write_mnli, write_stsb
from tests.glue.tiny_export import save_tiny_export
from tests.waiting import PATIENCE_S, wait_for


def _write_grid(folder: Path, *, export: Path, data: Path) -> JobPaths:
    paths = JobPaths(folder)
    paths.logs.mkdir(parents=True)
    paths.control.mkdir()
    starts: list[tuple[str, int, Via | None]] = [("cola", 0, None), ("mnli", 0, None), ("mnli", 1, None)]
    starts += [("sts-b", 0, None), ("sts-b", 0, "mnli")]
    trials = [
        GridTrial(
            name=f"{task}-via-{via}-seed{seed}",
            task=task,
            via=via,
            seed=seed,
            lr=1e-2,
            batch_size=16,
            epochs=1,
            weight_decay=0.1,
            warmup=0.06,
        )
        for task, seed, via in starts
    ]
    spec = GridSpec(
        preset=Preset.QUICK,
        source=str(export),
        source_name="1-demo/1",
        data_dir=str(data),
        num_cpu_workers=1,
        trials=trials,
    )
    paths.grid_spec.write_text(spec.model_dump_json())
    return paths


def _start(paths: JobPaths) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bertd.jobs.runner", str(paths.root), "grid"]
    with paths.log.open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}
        )


def _finish(paths: JobPaths, runner: subprocess.Popen[bytes]) -> None:
    assert runner.wait(10 * PATIENCE_S) == 0, paths.log.read_text()
    outcome = Outcome.model_validate_json(paths.outcome.read_bytes())
    assert outcome.state is JobState.DONE, outcome


def _table(paths: JobPaths) -> dict[str | None, float]:
    scores = read_scores(paths.journal)
    assert len(scores) == len({score.trial for score in scores}) == 5
    assert [score.task for score in scores if score.via == "mnli"] == ["sts-b"]
    assert [*paths.trials.glob("*/model")] == []
    return {score.trial: score.score for score in scores}


def _wait_until(is_true: Callable[[], bool], paths: JobPaths) -> None:
    wait_for(is_true, what=f"the grid; its log:\n{paths.log.read_text()}")


def test_a_grid_has_the_same_table_after_its_worker_and_its_runner_were_killed(tmp_path: Path) -> None:
    export, data = save_tiny_export(tmp_path / "export"), write_mnli(write_stsb(write_cola(tmp_path / "data")))
    whole = _write_grid(tmp_path / "whole", export=export, data=data)
    _finish(whole, _start(whole))

    killed = _write_grid(tmp_path / "killed", export=export, data=data)
    runner = _start(killed)
    _wait_until(killed.trial("cola-via-None-seed0").root.exists, killed)
    (worker,) = psutil.Process(runner.pid).children()
    worker.kill()
    # Before the model of MNLI that the last trial starts from is chosen.
    _wait_until(killed.trial("mnli-via-None-seed1").root.exists, killed)
    runner.kill()
    runner.wait()
    assert not killed.outcome.exists()
    _finish(killed, _start(killed))
    assert _table(killed) == _table(whole)
