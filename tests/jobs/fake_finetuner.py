"""A fake finetuner: the same contract, without a model.

    python -m tests.jobs.fake_finetuner JOB_FOLDER

Its task decides: `cola` scores at once, `wnli` waits to be killed, `rte` ends with a data error.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from bertd.records import AlertRecord, EndRecord, FinetuneSpec, ScoreRecord
from bertd.run.journal import JournalWriter
from bertd.run.paths import JobPaths


def run(paths: JobPaths, *, sleeps: bool = True) -> int:
    """Do what the task says; without `sleeps`, `wnli` scores too."""
    spec = FinetuneSpec.model_validate_json(paths.finetune_spec.read_bytes())
    journal = JournalWriter(paths.journal)
    if spec.task == "wnli" and sleeps:
        journal.append(AlertRecord(t=time.time(), step=0, level="warning", code="asleep", message="sleeps"))
        signal.pause()
    if spec.task == "rte":
        message = f"{spec.data_dir}/train.tsv: no rows; give a folder in GLUE's layout"
        journal.append(AlertRecord(t=time.time(), step=0, level="error", code="corpus", message=message))
        return 65
    score = ScoreRecord(
        t=time.time(),
        task=spec.task,
        metric="matthews",
        score=0.25,
        majority_score=0.0,
        metrics={"matthews": 0.25},
        majority_metrics={"matthews": 0.0},
        num_train=10,
        num_dev=10,
        seed=spec.seed,
        lr=spec.lr,
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        source=spec.source_name,
        seconds=0.1,
    )
    journal.append(score)
    journal.append(EndRecord(t=time.time(), step=1, sequences=1, charged_s=0.0, reason="finished", detail="scored"))
    journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(run(JobPaths(Path(sys.argv[1]))))
