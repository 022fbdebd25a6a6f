"""The worker of a grid: several finetunings in one process, with the scores that each has alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bertd.errors import RecipeError
from bertd.glue import __main__
from bertd.records import ScoreRecord, TrialOrder, WorkerReply
from bertd.run.journal import read_scores
from bertd.run.paths import JobPaths
from tests.glue.glue_jobs import write_cola, write_job
from tests.glue.tiny_export import save_tiny_export
from tests.waiting import PATIENCE_S


def _run_worker(*orders: str) -> tuple[int, list[WorkerReply], str]:
    done = subprocess.run(
        [sys.executable, "-m", "bertd.glue.worker"],
        input="".join(f"{order}\n" for order in orders),
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE_S,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return done.returncode, [WorkerReply.model_validate_json(line) for line in done.stdout.splitlines()], done.stderr


def _order(paths: JobPaths) -> str:
    return TrialOrder(folder=str(paths.root)).model_dump_json()


def _score(paths: JobPaths) -> ScoreRecord:
    (score,) = read_scores(paths.journal)
    return score.model_copy(update={"t": 0.0, "seconds": 0.0, "training_s": 0.0})


def test_trials_have_the_scores_that_each_has_alone_until_a_line_is_not_an_order(tmp_path: Path) -> None:
    export, data = save_tiny_export(tmp_path / "export"), write_cola(tmp_path / "data")
    trials = [
        write_job(tmp_path / name, data_dir=str(data), source=str(export), seed=seed, epochs=1)
        for name, seed in (("a", 1), ("b", 2), ("alone", 2))
    ]
    status, replies, log = _run_worker(*map(_order, trials[:2]), "nonsense")
    assert [(reply.event, reply.exit_code) for reply in replies] == [("ready", 0), ("done", 0), ("done", 0)]
    # Importing the libraries costs seconds, so that the refusal of a line is tested in the same process.
    assert status == RecipeError.exit_code
    assert "'nonsense\\n': not an order" in log and "Traceback" not in log
    assert __main__.main([str(trials[2].root)]) == 0
    assert _score(trials[1]) == _score(trials[2])
    assert _score(trials[0]).seed == 1


def test_a_worker_ends_after_a_trial_that_failed(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export")
    broken = write_job(tmp_path / "broken", data_dir=str(tmp_path), source=str(export))
    status, replies, log = _run_worker(_order(broken), _order(broken))
    assert status == 0
    assert [(reply.event, reply.exit_code) for reply in replies] == [("ready", 0), ("done", 65)]
    assert "CoLA" in log
