"""Batches of examples with similar lengths, so that there is little padding.

B  examples in the batch
S  tokens of the longest of them
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bertd.glue.classifier import Classifier
from bertd.glue.examples import Example

_BUCKET_BATCHES = 32
"""Batches of shuffled examples that are sorted by length together: enough for similar lengths, few enough to mix."""


@dataclass(frozen=True)
class EncodedExample:
    """One tokenized example."""

    input_ids: list[int]
    segments: list[int] | None
    target: float


@dataclass(frozen=True)
class PaddedBatch:
    """Padded input of one forward pass."""

    inputs: dict[str, Tensor]
    """input_ids, attention_mask and perhaps token_type_ids, each int64 BS."""
    targets: Tensor
    """B, float64: class ids, or numbers to predict."""
    has_padding: bool
    """Whether an example is shorter than the longest."""

    @property
    def num_positions(self) -> int:
        """Positions in the batch, padding included."""
        return self.inputs["input_ids"].numel()

    def to(self, device: torch.device) -> PaddedBatch:
        """The batch on a device."""
        inputs = {name: tensor_BS.to(device) for name, tensor_BS in self.inputs.items()}
        return replace(self, inputs=inputs, targets=self.targets.to(device))


def encode(examples: list[Example], classifier: Classifier) -> list[EncodedExample]:
    """Tokenize examples; a pair that is too long is truncated from its longer sentence."""
    is_pair = examples[0].second is not None
    encoded = classifier.tokenizer(
        [example.first for example in examples],
        [example.second or "" for example in examples] if is_pair else None,
        truncation=True,
        max_length=classifier.max_length,
        return_token_type_ids=classifier.has_segments,
    )
    segments = encoded["token_type_ids"] if classifier.has_segments else [None] * len(examples)
    return [
        EncodedExample(input_ids=ids, segments=types, target=example.target)
        for ids, types, example in zip(encoded["input_ids"], segments, examples, strict=True)
    ]


def training_batches(
    examples: list[EncodedExample], *, batch_size: int, pad_id: int, generator: torch.Generator
) -> Iterator[PaddedBatch]:
    """Yield one epoch in an order drawn from `generator`: every example once, similar lengths together."""
    order = torch.randperm(len(examples), generator=generator).tolist()
    bucket = batch_size * _BUCKET_BATCHES
    batches: list[list[int]] = []
    for start in range(0, len(order), bucket):
        by_length = sorted(order[start : start + bucket], key=lambda index: len(examples[index].input_ids))
        batches += [by_length[first : first + batch_size] for first in range(0, len(by_length), batch_size)]
    for batch_index in torch.randperm(len(batches), generator=generator).tolist():
        yield pad([examples[index] for index in batches[batch_index]], pad_id=pad_id)


def pad(examples: list[EncodedExample], *, pad_id: int) -> PaddedBatch:
    """Stack examples, each padded to the longest."""
    length = max(len(example.input_ids) for example in examples)
    ids_BS = torch.full((len(examples), length), pad_id, dtype=torch.int64)
    attention_mask_BS = torch.zeros_like(ids_BS)
    segments_BS = torch.zeros_like(ids_BS)
    for row, example in enumerate(examples):
        size = len(example.input_ids)
        ids_BS[row, :size] = torch.tensor(example.input_ids)
        attention_mask_BS[row, :size] = 1
        if example.segments is not None:
            segments_BS[row, :size] = torch.tensor(example.segments)
    inputs = {"input_ids": ids_BS, "attention_mask": attention_mask_BS}
    if examples[0].segments is not None:
        inputs["token_type_ids"] = segments_BS
    return PaddedBatch(
        inputs=inputs,
        targets=torch.tensor([example.target for example in examples], dtype=torch.float64),
        has_padding=any(len(example.input_ids) < length for example in examples),
    )
