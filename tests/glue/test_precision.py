"""Finetuning in the precision of a device that is not here: CPU takes the place of a GPU without bf16."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertd.errors import DeviceError, DeviceMemoryError, NumericsError
from bertd.glue import __main__, job
from bertd.records import AlertRecord, ScoreRecord, StepRecord
from bertd.run.journal import read_journal
from bertd.run.machine.gpu_share import GPU_MEMORY_VARIABLE, GPU_PARTS_VARIABLE
from bertd.run.recipe.schema import PrecisionSection
from bertd.train.backends import leased_device as device
from bertd.train.backends.leased_device import choose_device, leased_memory_bytes
from bertd.train.backends.precision import Precision, choose_precision
from tests.glue.glue_jobs import write_cola, write_job
from tests.glue.tiny_export import save_tiny_export

FP16 = Precision(mode="fp16", dtype=torch.float16, needs_scaler=True)


@pytest.fixture
def fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertd.glue.job.choose_precision", lambda *_: FP16)


@pytest.mark.parametrize(("has_bf16", "mode"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_finetunes_in_bf16_if_it_has_it_else_in_fp16(
    monkeypatch: pytest.MonkeyPatch, has_bf16: bool, mode: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert choose_precision(PrecisionSection(mode="auto"), torch.device("cuda")).mode == mode


def test_a_visible_gpu_is_used_without_cudnn_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_70"])
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", cudnn.append)
    assert choose_device() == torch.device("cuda")
    assert cudnn == [False]


def test_a_job_with_a_limit_in_bytes_is_held_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 44 * 10**9))
    monkeypatch.setenv(GPU_MEMORY_VARIABLE, str(8 * 10**9))
    assert leased_memory_bytes() == 8 * 10**9
    monkeypatch.setenv(GPU_MEMORY_VARIABLE, "lots")
    with pytest.raises(DeviceError, match="BERTD_GPU_MEMORY_BYTES=lots: not a number of bytes"):
        leased_memory_bytes()


@pytest.mark.parametrize(("parts", "fractions"), [("1", []), ("4", [pytest.approx(10 / 44)])])
def test_a_finetuning_is_held_to_its_part_of_the_gpus_memory(
    monkeypatch: pytest.MonkeyPatch, parts: str, fractions: list[float]
) -> None:
    held: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "require_supported_arch", lambda num_devices: None)
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", lambda is_enabled: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 44 * 10**9))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", held.append)
    monkeypatch.setenv(GPU_PARTS_VARIABLE, parts)
    assert choose_device() == torch.device("cuda")
    assert held == fractions
    assert leased_memory_bytes() == 44 * 10**9 // int(parts)


def test_a_number_of_parts_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 44 * 10**9))
    for text in ("0", "-2", "x", ""):
        monkeypatch.setenv(GPU_PARTS_VARIABLE, text)
        with pytest.raises(DeviceError, match=f"BERTD_GPU_PARTS={text}: not a number of parts"):
            leased_memory_bytes()


@pytest.mark.usefixtures("fp16")
def test_a_finetuning_that_needs_more_than_its_part_says_who_sets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GPU_PARTS_VARIABLE, "4")
    export = save_tiny_export(tmp_path / "export")
    paths = write_job(tmp_path / "job", data_dir=str(write_cola(tmp_path / "data")), source=str(export))

    def fail(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(job, "train", fail)
    assert __main__.main([str(paths.root)]) == DeviceMemoryError.exit_code
    (alert,) = [record for record in read_journal(paths.journal) if isinstance(record, AlertRecord)]
    remedy = "or give each a larger part than one of 4: `bertd start --finetunings-per-gpu 3`"
    assert alert.message.endswith(remedy)


@pytest.mark.usefixtures("fp16")
def test_a_task_is_learnt_in_fp16_and_its_score_says_so(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export")
    paths = write_job(tmp_path / "job", data_dir=str(write_cola(tmp_path / "data")), source=str(export))
    assert __main__.main([str(paths.root)]) == 0
    records = read_journal(paths.journal)
    (score,) = [record for record in records if isinstance(record, ScoreRecord)]
    assert score.precision == "fp16"
    assert score.score > 0.9
    last = [record for record in records if isinstance(record, StepRecord)][-1]
    assert last.loss_scale is not None and last.loss_scale >= 1


@pytest.mark.usefixtures("fp16")
def test_an_overflow_skips_the_update_and_lowers_the_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class HighScale(torch.amp.GradScaler):
        def __init__(self, device: str, *, enabled: bool) -> None:
            super().__init__(device, init_scale=2.0**40, enabled=enabled)

    monkeypatch.setattr(torch.amp, "GradScaler", HighScale)
    export = save_tiny_export(tmp_path / "export")
    paths = write_job(tmp_path / "job", data_dir=str(write_cola(tmp_path / "data")), source=str(export), epochs=5)
    assert __main__.main([str(paths.root)]) == 0
    records = read_journal(paths.journal)
    last = [record for record in records if isinstance(record, StepRecord)][-1]
    assert last.loss_scale is not None and 1 <= last.loss_scale < 2.0**30
    (score,) = [record for record in records if isinstance(record, ScoreRecord)]
    assert score.score > 0.5


@pytest.mark.usefixtures("fp16")
def test_gradients_that_overflow_at_every_scale_end_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = save_tiny_export(tmp_path / "export")
    paths = write_job(tmp_path / "job", data_dir=str(write_cola(tmp_path / "data")), source=str(export))
    unscale = torch.amp.GradScaler.unscale_

    def overflowing(scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> None:
        optimizer.param_groups[0]["params"][0].grad.fill_(torch.inf)
        unscale(scaler, optimizer)

    monkeypatch.setattr(torch.amp.GradScaler, "unscale_", overflowing)
    assert __main__.main([str(paths.root)]) == NumericsError.exit_code
    (alert,) = [record for record in read_journal(paths.journal) if isinstance(record, AlertRecord)]
    # 2 ** 16 is halved 17 times.
    assert "update 17 of 45: loss 0." in alert.message and "loss scale 0.5" in alert.message
