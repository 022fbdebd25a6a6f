"""The memory model is above what training keeps, and not far above."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.model.memory import layer_token_bytes, num_parameters, sequence_bytes, state_bytes
from tests.model.test_export import FAMILIES, TINY, VARIANTS

LENGTH = 32


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_are_counted_without_the_model(variant: str) -> None:
    config = VARIANTS[variant]
    model = MaskedLanguageModel(config, seed=1)
    assert num_parameters(config) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_layer_keeps_at_most_what_the_model_says(family: str, dtype: torch.dtype | None) -> None:
    # On CPU attention with dropout keeps its scores; no GPU kernel of torch does.
    config = replace(FAMILIES[family], width=64, ffn=256, attention_dropout=0.0)

    def kept(layers: int, num_sequences: int) -> int:
        return kept_bytes(replace(config, layers=layers), num_sequences, dtype)

    measured = (kept(3, 2) - kept(3, 1)) - (kept(2, 2) - kept(2, 1))
    said = LENGTH * layer_token_bytes(config, element_bytes=2 if dtype else 4)
    assert 0.8 * said < measured <= 1.01 * said


def kept_bytes(config: EncoderConfig, num_sequences: int, dtype: torch.dtype | None) -> int:
    """What autograd keeps of a forward pass, each storage once."""
    model = MaskedLanguageModel(config, seed=1)
    storages: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    ids_BS = torch.zeros(num_sequences, LENGTH, dtype=torch.int64)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        model(ids_BS, ids_BS[:, :4], ids_BS[:, :4])
    return sum(size for size, _ in storages.values())


def test_states_are_what_the_optimizer_keeps_and_the_head_grows_with_the_vocabulary() -> None:
    weights = num_parameters(TINY)
    assert state_bytes(TINY, has_one_moment=False, element_bytes=4) == 16 * weights
    assert state_bytes(TINY, has_one_moment=False, element_bytes=2) == 18 * weights
    assert state_bytes(TINY, has_one_moment=True, element_bytes=4) < 16 * weights
    larger = replace(TINY, vocab_size=TINY.vocab_size + 64)
    more, less = (sequence_bytes(each, length=32, predictions=5, element_bytes=2) for each in (larger, TINY))
    assert more - less == 5 * 64 * (2 * 2 + 12)
