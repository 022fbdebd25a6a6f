"""Ways to end an attempt early, and two ranks that go through them: `python -m tests.train.interruptions RANK FOLDER`.

In process, a kill is an attempt that is left behind: what it had not saved is gone with it.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from threading import Event

import torch
import torch.distributed as dist

from bertd.records import CommandKind
from bertd.run.mailbox import post
from bertd.run.paths import RunPaths
from bertd.train.distributed.process_group import Ranks
from tests.train.loop.test_trainer import ALONE, attempt, run_to_end

WHOLE, ONE_TO_TWO, TWO_TO_ONE = "whole", "one-to-two", "two-to-one"


class Way(StrEnum):
    """How an attempt ends."""

    PAUSE = "pause"
    SIGTERM = "sigterm"
    KILL = "kill"
    """Two steps behind a checkpoint."""


def interrupt(paths: RunPaths, *, at: int, way: Way, validates: bool = False, ranks: Ranks = ALONE) -> None:
    """The first attempt of a run, which ends at step `at`; `validates` just before that is saved."""
    told = Event()
    with attempt(paths, stop_signal=told, ranks=ranks) as trainer:
        trainer.state = trainer.state.model_copy(update={"next_checkpoint_s": 1e9})
        while trainer.state.step < at:
            trainer.execute_next_plan()
        if validates:
            trainer._validate()
        if way is Way.KILL:
            trainer.state = trainer.state.model_copy(update={"next_checkpoint_s": 0.0})
            trainer.execute_next_plan()
            trainer.execute_next_plan()
            return
        if way is Way.PAUSE and ranks.is_first:
            post(paths.control, verb=CommandKind.PAUSE, asked_by="uid 0", now=0.0)
        elif ranks.is_first:
            told.set()
        trainer.run()


def two_ranks(folder: Path, *, rank: int) -> None:
    """Every run that lies in `folder`, as its name says."""
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)  # type: ignore[attr-defined]  # torch exports it so
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    ranks = Ranks(rank=rank, world_size=2, device=torch.device("cpu"), control=dist.new_group(backend="gloo"))
    run_to_end(RunPaths(folder / WHOLE), ranks=ranks)
    for way in Way:
        interrupt(RunPaths(folder / way), at=5, way=way, ranks=ranks)
        dist.barrier()
        run_to_end(RunPaths(folder / way), number=2, ranks=ranks)
    # One rank began it before.
    run_to_end(RunPaths(folder / ONE_TO_TWO), number=2, ranks=ranks)
    # One rank ends it afterwards.
    interrupt(RunPaths(folder / TWO_TO_ONE), at=5, way=Way.PAUSE, ranks=ranks)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    two_ranks(Path(sys.argv[2]), rank=int(sys.argv[1]))
