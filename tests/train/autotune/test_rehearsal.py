"""A measured micro-batch that does not fit a run's memory is lowered before the first step, on all ranks alike."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from bertd.data.batches.masking import MaskedBatch
from bertd.errors import DeviceMemoryError
from bertd.records import AlertRecord, EndRecord, StartRecord
from bertd.run.paths import RunPaths
from bertd.train.autotune import micro_batch, rehearsal
from bertd.train.autotune.speed_probe import ModelSetup, ProbeResult
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.loss_fn import ForwardPass
from tests.train.loop.test_trainer import final_weights, kind_of, make_run, run_to_end
from tests.train.rank_processes import start_ranks
from tests.waiting import PATIENCE_S

SIZES = ("batch.sequences=32", "budget.steps=2", "batch.micro=auto")


@pytest.fixture(autouse=True)
def measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTD_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / ".measured"


def prefer_the_largest(patch: pytest.MonkeyPatch) -> None:
    """Have speed probes find that the largest micro-batch is the fastest."""

    def probe(setup: ModelSetup, *, micro: int, **_: object) -> ProbeResult:
        return ProbeResult(sequences_per_s=float(micro), first_update_s=0.0)

    patch.setattr(micro_batch, "run_speed_probe", probe)


def run_out_of_memory(patch: pytest.MonkeyPatch, *, above: int) -> None:
    """Have the rehearsal's backward pass fail with more sequences than that."""
    loss, rehearse, is_rehearsing = ForwardPass.loss, rehearsal._pass_and_discard, [False]

    def fail(_: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand more")

    def watched(self: ForwardPass, batch: MaskedBatch) -> Tensor:
        value = loss(self, batch)
        if is_rehearsing[0] and len(batch.inputs_BS) > above:
            value.register_hook(fail)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return value

    def marked(*args: object, **options: object) -> None:
        is_rehearsing[0] = True
        try:
            rehearse(*args, **options)  # type: ignore[arg-type]  # passed through
        finally:
            is_rehearsing[0] = False

    patch.setattr(ForwardPass, "loss", watched)
    patch.setattr(rehearsal, "_pass_and_discard", marked)


def test_memory_that_runs_out_before_the_first_step_lowers_the_micro_batch(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, measurements: Path
) -> None:
    prefer_the_largest(monkeypatch)
    run_out_of_memory(monkeypatch, above=8)
    lowered = make_run(tmp_path / "lowered", dataset, *SIZES)

    run_to_end(lowered)

    (start,), (alert,) = kind_of(lowered, StartRecord), kind_of(lowered, AlertRecord)
    assert (start.micro_batch, start.accumulation) == (8, 4)
    assert alert.code == "micro_batch_lowered" and alert.level == "warning"
    reason = "the GPU's memory is too small: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert f"with a micro-batch of 32 (rank 0: {reason}), 16 (rank 0: {reason}): the run continues with 8" in (
        alert.message
    )
    assert "before the first step memory ran out with 32 " in start.micro_batch_reason
    # The next run measures again.
    assert list(measurements.iterdir()) == []
    # The failed passes left nothing behind: dropout is on.
    written = make_run(tmp_path / "written", dataset, *SIZES[:2], "batch.micro=8")
    run_to_end(written)
    ours, theirs = final_weights(lowered), final_weights(written)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_size_that_fits_is_kept_and_remembered(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, measurements: Path
) -> None:
    prefer_the_largest(monkeypatch)
    paths = make_run(tmp_path / "run", dataset, *SIZES)
    run_to_end(paths)
    assert kind_of(paths, StartRecord)[0].micro_batch == 32 and not kind_of(paths, AlertRecord)
    assert len(list(measurements.iterdir())) == 1


def test_a_size_that_the_recipe_names_is_not_rehearsed(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "_rehearse", None)
    paths = make_run(tmp_path / "run", dataset, "budget.steps=1")
    run_to_end(paths)
    assert kind_of(paths, EndRecord)[0].step == 1


def test_where_not_even_the_smallest_fits_the_run_ends_with_cause_and_remedy(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer_the_largest(monkeypatch)
    run_out_of_memory(monkeypatch, above=0)
    with pytest.raises(DeviceMemoryError, match=r"not even 4 sequences fit .*: 4 \(rank 0: .*; end other users"):
        run_to_end(make_run(tmp_path / "run", dataset, *SIZES))


def test_another_error_is_not_taken_for_lack_of_memory(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    prefer_the_largest(monkeypatch)
    monkeypatch.setattr(rehearsal, "_pass_and_discard", fail)
    with pytest.raises(RuntimeError, match="device-side assert"):
        run_to_end(make_run(tmp_path / "run", dataset, *SIZES))


def train_rank(rank: int, folder: Path) -> None:
    """One of two real ranks; memory runs out on the second alone."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)  # type: ignore[attr-defined]  # torch exports it so
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    ranks = Ranks(rank=rank, world_size=2, device=torch.device("cpu"), control=dist.new_group(backend="gloo"))
    resets: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTD_DATA", str(folder / "cache"))
        prefer_the_largest(patch)
        if rank == 1:
            run_out_of_memory(patch, above=4)
        patch.setattr(rehearsal, "release_memory", lambda _: resets.append("reset"))
        run_to_end(RunPaths(folder / "run"), ranks=ranks)
    (folder / f"resets-{rank}").write_text(" ".join(resets))
    dist.barrier()
    dist.destroy_process_group()


def test_all_ranks_follow_the_one_that_ran_out_of_memory(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset, *SIZES, "devices.count=2")
    processes = start_ranks(train_rank, folder=tmp_path)
    for process in processes:
        process.join(PATIENCE_S)

    assert [process.exitcode for process in processes] == [0, 0]
    # Compiled graphs of the sizes that failed are gone on both, so that both compile the next one alike.
    assert [(tmp_path / f"resets-{rank}").read_text() for rank in range(2)] == ["reset reset", "reset reset"]
    (start,), (alert,) = kind_of(paths, StartRecord), kind_of(paths, AlertRecord)
    assert (start.micro_batch, start.accumulation, start.world_size) == (4, 4, 2)
    assert re.search(
        r"with a micro-batch of 16 \(rank 1: .+\), 8 \(rank 1: .+\): the run continues with 4", alert.message
    )
    assert list((tmp_path / "cache" / ".measured").iterdir()) == []
    assert [record.step for record in kind_of(paths, EndRecord)] == [2]
