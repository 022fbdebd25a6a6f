"""Batches of examples with similar lengths, so that there is little padding.

B  examples in the batch
S  tokens of the longest of them
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_BUCKET_BATCHES = 32
"""Batches of shuffled examples that are sorted by length together: enough for similar lengths, few enough to mix."""


IGNORE_INDEX = -100
"""Target of a token that has no tag, as in torch's cross_entropy."""


@dataclass(frozen=True)
class EncodedExample:
    """One tokenized example."""

    input_ids: list[int]
    segments: list[int] | None
    target: float | list[int] | tuple[int, int]
    """A class id or a number to predict; or for each token the id of its tag, or IGNORE_INDEX; or the first and the
    last token of an answer."""


@dataclass(frozen=True)
class PaddedBatch:
    """Padded input of one forward pass."""

    inputs: dict[str, Tensor]
    """input_ids, attention_mask and perhaps token_type_ids, each int64 BS."""
    targets: Tensor
    """B, float64: class ids, or numbers to predict; or BS, int64: ids of tags, or IGNORE_INDEX; or B2, int64: the
    first and the last token of an answer."""
    has_padding: bool
    """Whether an example is shorter than the longest."""

    @property
    def num_positions(self) -> int:
        """Positions in the batch, padding included."""
        return self.inputs["input_ids"].numel()

    def to(self, device: torch.device) -> PaddedBatch:
        """The batch on a device; from pinned memory the copy is only queued."""
        inputs = {name: tensor_BS.to(device, non_blocking=True) for name, tensor_BS in self.inputs.items()}
        return replace(self, inputs=inputs, targets=self.targets.to(device, non_blocking=True))

    def pin_memory(self) -> PaddedBatch:
        """The batch in memory that a GPU copies from by itself."""
        inputs = {name: tensor_BS.pin_memory() for name, tensor_BS in self.inputs.items()}
        return replace(self, inputs=inputs, targets=self.targets.pin_memory())


def training_batches(
    examples: list[EncodedExample], *, batch_size: int, pad_id: int, generator: torch.Generator
) -> Iterator[PaddedBatch]:
    """Yield one epoch in an order drawn from `generator`: every example once, similar lengths together."""
    for indices in draw_epoch(examples, batch_size=batch_size, generator=generator):
        yield pad([examples[index] for index in indices], pad_id=pad_id)


def draw_epoch(examples: list[EncodedExample], *, batch_size: int, generator: torch.Generator) -> list[list[int]]:
    """The examples of each batch of an epoch, by their indices."""
    order = torch.randperm(len(examples), generator=generator).tolist()
    bucket = batch_size * _BUCKET_BATCHES
    batches: list[list[int]] = []
    for start in range(0, len(order), bucket):
        by_length = sorted(order[start : start + bucket], key=lambda index: len(examples[index].input_ids))
        batches += [by_length[first : first + batch_size] for first in range(0, len(by_length), batch_size)]
    return [batches[number] for number in torch.randperm(len(batches), generator=generator).tolist()]


def pad(examples: list[EncodedExample], *, pad_id: int) -> PaddedBatch:
    """Stack examples, each padded to the longest."""
    sizes = [len(example.input_ids) for example in examples]
    length = max(sizes)
    ids_BS = torch.tensor([_pad_row(example.input_ids, length, fill=pad_id) for example in examples])
    attention_mask_BS = (torch.arange(length) < torch.tensor(sizes).unsqueeze(1)).long()
    inputs = {"input_ids": ids_BS, "attention_mask": attention_mask_BS}
    if examples[0].segments is not None:
        rows = [_pad_row(example.segments or [], length, fill=0) for example in examples]
        inputs["token_type_ids"] = torch.tensor(rows)
    return PaddedBatch(
        inputs=inputs,
        targets=_stack_targets(examples, length=length),
        has_padding=min(sizes) < length,
    )


def _stack_targets(examples: list[EncodedExample], *, length: int) -> Tensor:
    targets = [example.target for example in examples]
    rows = [_pad_row(target, length, fill=IGNORE_INDEX) for target in targets if isinstance(target, list)]
    if rows:
        return torch.tensor(rows)
    return torch.tensor(targets, dtype=torch.int64 if isinstance(targets[0], tuple) else torch.float64)


def _pad_row(ids: list[int], length: int, *, fill: int) -> list[int]:
    return ids + [fill] * (length - len(ids))
