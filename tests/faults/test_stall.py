"""How long training stands still for a checkpoint of BERT-base's size: under 0.2 % of the run at the default interval.

python -m pytest tests/faults/test_stall.py -m faults -s      prints what it measured
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.records import CheckpointRecord, StartRecord, Verb
from bertd.run.mailbox import post
from tests.train.test_saving import only_when_asked
from tests.train.test_trainer import attempt, kind_of, make_run

BASE = (
    *("model.layers=12", "model.width=768", "model.heads=12", "model.ffn=3072"),
    *("batch.sequences=4", "batch.micro=4", "budget.steps=1000000", "checkpoint.keep=1"),
)
PROMISED_SHARE = 0.002
INTERVALS_S = {"24 h": 600.0, "1 h": 36.0}
"""By budget: ten minutes, and 1 %."""
SAVES = 2


@pytest.mark.faults
def test_training_hardly_stands_still_for_a_checkpoint(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset, *BASE)
    with attempt(paths) as trainer:
        saver = only_when_asked(trainer)
        # Without a step there are no moments yet. The first save allocates the memory for the copies.
        trainer.advance_one()
        for _ in range(1 + SAVES):
            post(paths.control, verb=Verb.CHECKPOINT, asked_by="a test", now=0.0)
            saves = len(kind_of(paths, CheckpointRecord))
            trainer.advance_one()
            trainer.advance_one()
            trainer.state = saver.wait(trainer.state)
            assert len(kind_of(paths, CheckpointRecord)) == saves + 1
    (start,) = kind_of(paths, StartRecord)
    first, *saved = kind_of(paths, CheckpointRecord)
    stalls_s = [record.stall_s for record in saved]
    size = f"{start.num_parameters / 1e6:.0f}M parameters, {saved[-1].size_bytes / 1e9:.2f} GB"
    told = ", ".join(f"{stall_s:.3f}" for stall_s in stalls_s)
    print(f"{size}: stalls of {told} s (the first {first.stall_s:.3f}), {saved[-1].write_s:.1f} s to write")
    for budget, interval_s in INTERVALS_S.items():
        share = max(stalls_s) / interval_s
        print(f"one every {interval_s:.0f} s, as of a budget of {budget}: {100 * share:.3f} % of the run")
        assert share < PROMISED_SHARE
