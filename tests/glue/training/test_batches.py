"""Batches made ahead, and evaluation, against the plainest code that does the same."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bertd.errors import CorpusError
from bertd.glue.data.examples import Example, Split
from bertd.glue.kinds.sequence_classification import predict
from bertd.glue.model.classifier import load_classifier
from bertd.glue.tasks import TASKS
from bertd.glue.training.batches import EncodedExample, PaddedBatch, pad
from bertd.glue.training.encoding import encode
from bertd.glue.training.evaluate import evaluation_batch_size
from bertd.glue.training.read_ahead import read_ahead
from bertd.train.backends.precision import Precision
from tests.glue.tiny_export import WORDS, save_tiny_export

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
FP32 = Precision(mode="fp32", dtype=None, needs_scaler=False)


def _batches(count: int) -> Iterator[PaddedBatch]:
    for index in range(count):
        yield pad([EncodedExample([index], None, float(index))], pad_id=0)


def test_batches_come_in_order_and_the_thread_ends() -> None:
    before = set(threading.enumerate())
    with read_ahead(_batches(50), device=CPU) as batches:
        assert [int(batch.targets) for batch in batches] == list(range(50))
    assert set(threading.enumerate()) <= before


def test_the_thread_ends_when_not_all_batches_are_taken() -> None:
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), read_ahead(_batches(50), device=CPU) as batches:
        assert int(next(batches).targets) == 0
        raise ZeroDivisionError
    assert set(threading.enumerate()) <= before


def test_what_the_batches_raise_is_raised_where_they_are_taken() -> None:
    def failing() -> Iterator[PaddedBatch]:
        yield from _batches(2)
        raise CorpusError("x")

    with read_ahead(failing(), device=CPU) as batches:
        next(batches), next(batches)
        with pytest.raises(CorpusError, match="x"):
            next(batches)


def test_for_a_gpu_every_tensor_is_pinned_in_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[str] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(threading.current_thread().name)
        return tensor.clone()

    def to(batch: PaddedBatch, device: torch.device) -> PaddedBatch:
        assert device == CUDA
        return batch

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(PaddedBatch, "to", to)
    with read_ahead(_batches(3), device=CUDA) as batches:
        assert [int(batch.targets) for batch in batches] == [0, 1, 2]
    assert pinned == ["batches"] * 9


def test_padding_is_that_of_example_by_example() -> None:
    draw = random.Random(4)
    sizes = [draw.randint(1, 20) for _ in range(33)]
    examples = [
        EncodedExample([draw.randint(1, 99) for _ in range(size)], [draw.randint(0, 1) for _ in range(size)], 1.5)
        for size in sizes
    ]
    batch = pad(examples, pad_id=7)
    for row, (size, example) in enumerate(zip(sizes, examples, strict=True)):
        fill = max(sizes) - size
        assert batch.inputs["input_ids"][row].tolist() == example.input_ids + [7] * fill
        assert batch.inputs["token_type_ids"][row].tolist() == (example.segments or []) + [0] * fill
        assert batch.inputs["attention_mask"][row].tolist() == [1] * size + [0] * fill
    assert {tensor_BS.dtype for tensor_BS in batch.inputs.values()} == {torch.int64}
    assert (batch.targets.dtype, batch.has_padding) == (torch.float64, True)


@pytest.mark.parametrize("family", ["bert", "megatron-bert", "roberta-prelayernorm"])
@pytest.mark.parametrize("task", ["sts-b", "mnli"])
def test_predictions_on_cpu_are_those_of_batches_of_64_bit_for_bit(tmp_path: Path, family: str, task: str) -> None:
    classifier = load_classifier(save_tiny_export(tmp_path, family=family), TASKS[task].head, max_length=32)
    torch.manual_seed(3)
    for parameter in classifier.model.parameters():
        # The first weights of all are so small that every example is in one class.
        if parameter.dim() >= 2:
            parameter.data.normal_(std=0.5)
    draw = random.Random(2)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(300)]
    split = Split(tmp_path, [Example(text, text[::2], 0.0) for text in texts], skipped_lines=0)

    encoded, model = encode(split.examples, classifier), classifier.model.eval()
    order = sorted(range(300), key=lambda index: len(encoded[index].input_ids))
    expected = np.empty(300)
    for start in range(0, 300, 64):
        indices = order[start : start + 64]
        with torch.inference_mode():
            logits_BC = model(**pad([encoded[index] for index in indices], pad_id=0).inputs).logits.float()
        expected[indices] = (logits_BC[:, 0] if task == "sts-b" else logits_BC.argmax(dim=1)).double().numpy()

    assert np.array_equal(predict(classifier, TASKS[task], split, device=CPU, precision=FP32), expected)
    assert len(set(expected)) > 1


@pytest.mark.parametrize(
    ("total_gib", "max_length", "size"),
    [(140, 128, 512), (24, 64, 512), (12, 128, 256), (140, 256, 128), (140, 512, 32), (12, 512, 32)],
)
def test_a_gpu_evaluates_in_large_batches_by_memory(
    monkeypatch: pytest.MonkeyPatch, total_gib: int, max_length: int, size: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, total_gib * 2**30))
    assert evaluation_batch_size(CUDA, max_length=max_length) == size


def test_cpu_evaluates_in_batches_of_one_size() -> None:
    assert evaluation_batch_size(CPU, max_length=512) == 64
