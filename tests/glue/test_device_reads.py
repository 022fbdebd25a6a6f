"""What a finetuning reads from its device. The device "meta" takes the place of a GPU: every read from it raises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from bertd.errors import NumericsError
from bertd.glue.data.examples import read_train
from bertd.glue.data.task_data import TaskData
from bertd.glue.kinds.sequence_classification import SequenceClassification, predict
from bertd.glue.model.classifier import load_classifier
from bertd.glue.progress import ReadFigures, UpdateFigures
from bertd.glue.tasks import TASKS
from bertd.glue.training.batches import EncodedExample, pad
from bertd.glue.training.forward import forward
from bertd.glue.training.train import train
from bertd.glue.training.update import Updates
from bertd.records import FinetuneSpec
from bertd.train.backends.precision import Precision
from tests.glue.glue_jobs import write_cola
from tests.glue.tiny_export import save_tiny_export

META, CPU = torch.device("meta"), torch.device("cpu")
FP32 = Precision(mode="fp32", dtype=None, needs_scaler=False)
FP16 = Precision(mode="fp16", dtype=torch.float16, needs_scaler=True)
FAMILIES = ("bert", "megatron-bert", "roberta-prelayernorm")
_READS = {torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.equal}
_FIGURES = ReadFigures(
    mean_loss=0.5, newest=UpdateFigures(step=1, loss=0.5, grad_norm=1.0, loss_scale=None), diverged=None
)


class CountReads(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts the calls that wait for a device: those that give the host a number."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.num_reads = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.num_reads += func.overloadpacket in _READS
        return func(*args, **(kwargs or {}))


class WatchCopies(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Notes of each copy between devices whether it is only queued."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.is_queued: list[bool] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket is torch.ops.aten._to_copy and kwargs.get("device", args[0].device) != args[0].device:
            self.is_queued.append(bool(kwargs.get("non_blocking")))
        return func(*args, **kwargs)


class FakeProgress:
    """Wants a report after each `every` updates."""

    def __init__(self, *, every: int) -> None:
        self._every = every
        self.step = 0
        self.reports: list[ReadFigures] = []

    def begin_training(self) -> None:
        """Count no time."""

    def end_training(self) -> None:
        """Count no time."""

    def count_update(self, step: int, *, num_examples: int, num_positions: int) -> None:
        self.step = step

    def is_report_due(self, num_steps: int) -> bool:
        return self.step % self._every == 0 or self.step == num_steps

    def report(self, figures: ReadFigures, *, lr: float, num_steps: int) -> None:
        self.reports.append(figures)


def _train(tmp_path: Path, *, family: str, device: torch.device, precision: Precision, every: int) -> FakeProgress:
    export = save_tiny_export(tmp_path / "export", family=family)
    data_dir = write_cola(tmp_path / "data", num_train=160)
    spec = FinetuneSpec(
        task="cola", data_dir=str(data_dir), source=str(export), source_name="1", batch_size=16, epochs=1
    )
    progress = FakeProgress(every=every)
    examples = read_train(TASKS["cola"], data_dir=data_dir)
    train(
        load_classifier(export, TASKS["cola"].head, max_length=32),
        SequenceClassification.of(TaskData(TASKS["cola"], examples, {"": examples}, "none")),
        spec=spec,
        device=device,
        precision=precision,
        progress=progress,  # type: ignore[arg-type]  # a stand-in with its methods
    )
    return progress


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("precision", [FP32, FP16], ids=["fp32", "fp16"])
def test_an_update_reads_nothing_from_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, precision: Precision
) -> None:
    # Autocast does not know the device; it changes types and reads nothing.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda *_, **__: None)
    monkeypatch.setattr(Updates, "read", lambda _: _FIGURES)
    progress = _train(tmp_path, family=family, device=META, precision=precision, every=5)
    assert (progress.step, len(progress.reports)) == (10, 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_own_masks_are_a_read_in_each_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda *_, **__: None)
    with _transformers_own_masks(monkeypatch), pytest.raises(RuntimeError, match="meta tensors"):
        _train(tmp_path, family=family, device=META, precision=FP32, every=10)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_call_of_ten_updates_gives_the_host_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    with CountReads() as reads:
        _train(tmp_path / "known", family=family, device=CPU, precision=FP32, every=10)
    assert reads.num_reads == 0
    with _transformers_own_masks(monkeypatch), CountReads() as reads:
        _train(tmp_path / "asked", family=family, device=CPU, precision=FP32, every=10)
    assert reads.num_reads == 10


@contextmanager
def _transformers_own_masks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr("bertd.glue.training.forward._padding_known", lambda **_: nullcontext())
        yield


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lengths", [(7, 7, 7), (7, 5, 2)], ids=["full", "padded"])
def test_the_host_s_knowledge_of_padding_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, lengths: tuple[int, ...]
) -> None:
    model = load_classifier(save_tiny_export(tmp_path, family=family), TASKS["cola"].head, max_length=32).model.eval()
    batch = pad([EncodedExample([5] * length, None, 0.0) for length in lengths], pad_id=0)
    assert batch.has_padding == (len(set(lengths)) > 1)
    known_BC = forward(model, batch, precision=FP32)
    with _transformers_own_masks(monkeypatch):
        asked_BC = forward(model, batch, precision=FP32)
    assert torch.equal(known_BC, asked_BC)
    wrong_BC = forward(model, replace(batch, has_padding=False), precision=FP32)
    assert torch.equal(wrong_BC, asked_BC) == (not batch.has_padding)
    assert not ALL_MASK_ATTENTION_FUNCTIONS._local_mapping


def test_evaluation_waits_for_the_device_once_per_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = save_tiny_export(tmp_path / "export")
    task, data_dir = TASKS["cola"], write_cola(tmp_path / "data", num_train=200)
    classifier = load_classifier(export, task.head, max_length=32)
    waits: list[Tensor] = []

    def copy(tensor: Tensor) -> Tensor:
        waits.append(tensor)
        return torch.zeros(tensor.shape)

    monkeypatch.setattr(torch.Tensor, "cpu", copy)
    predicted = predict(classifier, task, read_train(task, data_dir=data_dir), device=META, precision=FP32)
    assert predicted.shape == (200,)
    assert [tensor.shape for tensor in waits] == [(200, 2)]


def test_copies_to_the_device_do_not_wait() -> None:
    batch = pad([EncodedExample([5, 6], [0, 1], 0.0), EncodedExample([5], [0], 1.0)], pad_id=0)
    watch = WatchCopies()
    with watch:
        batch.to(META)
    assert watch.is_queued == [True] * 4


def test_the_mean_loss_and_the_newest_figures_are_read(tmp_path: Path) -> None:
    each = _train(tmp_path / "each", family="bert", device=CPU, precision=FP32, every=1)
    torch.manual_seed(0)
    last = _train(tmp_path / "last", family="bert", device=CPU, precision=FP32, every=10)
    (report,) = last.reports
    assert report.newest == each.reports[-1].newest
    assert report.mean_loss == sum(read.newest.loss for read in each.reports) / 10
    assert report.diverged is None


def test_the_first_update_that_diverged_is_named_though_it_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, calls = torch.nn.utils.clip_grad_norm_, iter(range(1, 100))

    def diverging(parameters: Any, max_norm: float) -> Tensor:
        norm = clip(parameters, max_norm)
        return norm if (call := next(calls)) < 4 else norm * torch.nan if call < 6 else norm * torch.inf

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", diverging)
    with pytest.raises(NumericsError, match=r"update 4 of 10: loss 0\.\d+, gradient norm nan;"):
        _train(tmp_path, family="bert", device=CPU, precision=FP32, every=10)


def test_the_job_s_main_module_sets_the_environment_before_torch_is_loaded() -> None:
    code = "import sys, bertd.glue.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
