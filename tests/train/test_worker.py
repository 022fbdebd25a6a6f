"""A rank's last words: what it tells the log, the journal and, by its exit status, the runner."""

from __future__ import annotations

import faulthandler
import signal
import sys
from pathlib import Path

import pytest
import torch

from bertd.jobs.restart_policy import max_restarts
from bertd.jobs.verdict import class_of, judge_pretraining
from bertd.records import AlertRecord, ExitClass, JobState, Outcome
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths
from bertd.train import launch, worker

GPU_SAYS = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 11.77 GiB"
ON_GPU = torch.OutOfMemoryError(GPU_SAYS)


def on_cpu() -> RuntimeError:
    """What PyTorch raises for more than any machine has."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    return caught.value


@pytest.mark.parametrize(
    ("rank", "exits", "error", "told"),
    [
        (0, [71, 1], ON_GPU, f"the GPU's memory is too small: {GPU_SAYS}"),
        (1, [1, 71], ON_GPU, f"the GPU's memory is too small: {GPU_SAYS}"),
        (0, [71, 1], on_cpu(), "the machine's memory is too small: [enforce fail at "),
        (0, [71, 1], MemoryError(), "the machine's memory is too small: MemoryError"),
    ],
)
def test_memory_that_runs_out_on_one_rank_ends_the_run_with_cause_and_remedy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rank: int,
    exits: list[int],
    error: Exception,
    told: str,
) -> None:
    def runs_out(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(worker, "train", runs_out)
    monkeypatch.setattr(worker, "die_with_parent", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(faulthandler, "register", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path)])
    monkeypatch.setenv("RANK", str(rank))

    assert worker.main() == exits[rank]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bertd: rank {rank}: {told}") and "; lower batch.micro" in line
    # The other lost its peer, and perhaps in the same moment.
    status = launch._most_telling(exits)
    records = read_journal(RunPaths(tmp_path).journal)
    assert [type(record) for record in records] == [AlertRecord] * (rank == 0)
    outcome = judge_pretraining(status, records, told_to_end=False)
    assert isinstance(outcome, Outcome) and outcome.state is JobState.FAILED
    assert "memory is too small" in outcome.reason and 'lower batch.micro, or let it be "auto"' in outcome.reason
    assert class_of(status) is ExitClass.CONFIGURATION and max_restarts(class_of(status)) == 0


@pytest.mark.parametrize(
    ("exit_codes", "status"),
    [([1], 1), ([-9], 137), ([1, -9], 137), ([-6, 76], 76), ([1, 1], 1), ([65, 65], 65)],
)
def test_the_death_that_explains_the_others_is_told(exit_codes: list[int], status: int) -> None:
    assert launch._most_telling(exit_codes) == status
