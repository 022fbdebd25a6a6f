"""How long training is stopped for a checkpoint of BERT-base's size; the promise is 0.2 % of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.records import CheckpointRecord, CommandKind, StartRecord
from bertd.run.mailbox import post
from tests.faults.tally import Tally
from tests.train.checkpoint.test_async_saver import only_when_asked
from tests.train.loop.test_trainer import attempt, kind_of, make_run

BASE = (
    *("model.layers=12", "model.width=768", "model.heads=12", "model.ffn=3072"),
    *("batch.sequences=4", "batch.micro=4", "budget.steps=1000000", "checkpoint.keep=1"),
)
SHORTEST_INTERVAL_S = 36.0
"""1 % of a budget of an hour."""
SAVES = 2


@pytest.mark.faults
def test_it_is_told_how_long_training_stands_still(tmp_path: Path, dataset: Path, tally: Tally) -> None:
    paths = make_run(tmp_path / "run", dataset, *BASE)
    with attempt(paths) as trainer:
        checkpointer = only_when_asked(trainer)
        # Before the first step the optimizer has no moments. The first save allocates the memory for the copies.
        trainer.execute_next_plan()
        for _ in range(1 + SAVES):
            post(paths.control, verb=CommandKind.CHECKPOINT, asked_by="a test", now=0.0)
            saves = len(kind_of(paths, CheckpointRecord))
            trainer.execute_next_plan()
            trainer.execute_next_plan()
            trainer.state = checkpointer.wait(trainer.state)
            assert len(kind_of(paths, CheckpointRecord)) == saves + 1
    (start,) = kind_of(paths, StartRecord)
    first, *saved = kind_of(paths, CheckpointRecord)
    stalls_s = [record.stall_s for record in saved]
    size = f"{start.num_parameters / 1e6:.0f}M parameters, {saved[-1].size_bytes / 1e9:.2f} GB"
    told = ", ".join(f"{stall_s:.3f}" for stall_s in stalls_s)
    share = max(stalls_s) / SHORTEST_INTERVAL_S
    tally.stall = (
        f"{told} s for {size} (the first time {first.stall_s:.3f} s), {100 * share:.3f} % of a run that saves every "
        f"{SHORTEST_INTERVAL_S:.0f} s"
    )
    assert all(record.write_s > 0.0 for record in saved)
