"""The classifier's output for a batch, without a read from the device.

transformers asks the device in every forward pass whether the batch has padding, because it passes no mask to the
attention where there is none. A GPU then runs dry while the host waits for the answer and queues the next kernels. The
host padded the batch and knows, so its answer takes the place of the question; the masks are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from bertd.glue.training.batches import PaddedBatch
from bertd.glue.training.cpu_dropout import cheap_dropout
from bertd.train.backends.precision import Precision

_IMPLEMENTATIONS = ("eager", "sdpa")
"""transformers' attention implementations that the families of bertd's exports have."""


def forward(model: nn.Module, batch: PaddedBatch, *, precision: Precision) -> Tensor:
    """The classifier's output in fp32: BC, or BSC of a head that classifies tokens or finds answers.

    Args:
        batch: on the model's device.
    """
    device = batch.targets.device
    with (
        _autocast(precision, device=device),
        _padding_known(has_padding=batch.has_padding),
        cheap_dropout(device),
    ):
        output = model(**batch.inputs)
    if "start_logits" in output:
        return torch.stack((output.start_logits, output.end_logits), dim=-1).float()
    logits: Tensor = output.logits
    return logits.float()


def _autocast(precision: Precision, *, device: torch.device) -> AbstractContextManager[object]:
    return nullcontext() if precision.dtype is None else torch.autocast(device.type, dtype=precision.dtype)


@contextmanager
def _padding_known(*, has_padding: bool) -> Iterator[None]:
    """Have transformers build its masks by `has_padding`."""
    replaced = {name: ALL_MASK_ATTENTION_FUNCTIONS[name] for name in _IMPLEMENTATIONS}
    for name, create_mask in replaced.items():
        ALL_MASK_ATTENTION_FUNCTIONS[name] = _by_known_padding(create_mask, has_padding=has_padding)
    try:
        yield
    finally:
        for name in replaced:
            # The instance's own entries hide those of the class.
            del ALL_MASK_ATTENTION_FUNCTIONS[name]


def _by_known_padding(create_mask: Callable[..., Tensor | None], *, has_padding: bool) -> Callable[..., Tensor | None]:
    def create(
        *, kv_length: int, local_size: int | None = None, allow_is_bidirectional_skip: bool = False, **options: object
    ) -> Tensor | None:
        # The conditions of transformers' _ignore_bidirectional_mask_sdpa.
        sees_all = local_size is None or kv_length < local_size
        if allow_is_bidirectional_skip and not has_padding and sees_all:
            return None
        return create_mask(kv_length=kv_length, local_size=local_size, allow_is_bidirectional_skip=False, **options)

    return create
