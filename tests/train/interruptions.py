"""Ways to end an attempt early, also on two ranks: `python -m tests.train.interruptions RANK FOLDER`.

A kill is simulated in process by leaving the attempt: what it had not saved is lost.
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
    """Leave the attempt two steps after a checkpoint."""


def interrupt(paths: RunPaths, *, at: int, way: Way, validates: bool = False, ranks: Ranks = ALONE) -> None:
    """Run the first attempt up to step `at`, and end it; `validates` adds a validation just before the save."""
    stop_signal = Event()
    with attempt(paths, stop_signal=stop_signal, ranks=ranks) as trainer:
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
            stop_signal.set()
        trainer.run()


def two_ranks(folder: Path, *, rank: int) -> None:
    """Do every run in `folder`, as its name says."""
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)  # type: ignore[attr-defined]  # torch exports it so
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    ranks = Ranks(rank=rank, world_size=2, device=torch.device("cpu"), control=dist.new_group(backend="gloo"))
    run_to_end(RunPaths(folder / WHOLE), ranks=ranks)
    for way in Way:
        interrupt(RunPaths(folder / way), at=5, way=way, ranks=ranks)
        dist.barrier()
        run_to_end(RunPaths(folder / way), number=2, ranks=ranks)
    # A single rank started this run.
    run_to_end(RunPaths(folder / ONE_TO_TWO), number=2, ranks=ranks)
    # A single rank finishes this run later.
    interrupt(RunPaths(folder / TWO_TO_ONE), at=5, way=Way.PAUSE, ranks=ranks)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    two_ranks(Path(sys.argv[2]), rank=int(sys.argv[1]))
