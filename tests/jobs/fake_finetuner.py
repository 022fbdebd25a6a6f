"""A fake finetuner: the same contract, without a model.

    python -m tests.jobs.fake_finetuner JOB_FOLDER

Its task decides: `cola` scores at once, the higher the larger its seed, `wnli` waits to be killed, `rte` ends with a
data error.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from bertd.records import AlertRecord, EndRecord, FinetuneSpec, Keep, ScoreRecord
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
    kept = paths.finetuned_model if spec.keep is Keep.BEST else None
    if kept is not None:
        kept.mkdir(exist_ok=True)
        (kept / "config.json").touch()
    number = round(0.25 + (spec.seed - 42) / 100, 6)
    score = ScoreRecord(
        t=time.time(),
        task=spec.task,
        metric="matthews",
        score=number,
        majority_score=0.0,
        metrics={"matthews": number},
        majority_metrics={"matthews": 0.0},
        num_train=10,
        num_dev=10,
        seed=spec.seed,
        lr=spec.lr,
        batch_size=spec.batch_size,
        epochs=spec.epochs,
        source=spec.source_name,
        via=spec.via,
        seconds=0.1,
        kept=None if kept is None else str(kept),
    )
    journal.append(score)
    journal.append(EndRecord(t=time.time(), step=1, sequences=1, charged_s=0.0, reason="finished", detail="scored"))
    journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(run(JobPaths(Path(sys.argv[1]))))
