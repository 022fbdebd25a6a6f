"""The memory model is above what training keeps, and not far above."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.model.memory import (
    CONTEXT_BYTES,
    NCCL_BYTES,
    exchange_bytes,
    layer_token_bytes,
    mask_bytes,
    micro_batch_bytes,
    moment_bytes,
    num_parameters,
    process_bytes,
    sequence_bytes,
    state_bytes,
)
from tests.model.test_export import FAMILIES, TINY, VARIANTS

LENGTH = 32


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_are_counted_without_the_model(variant: str) -> None:
    config = VARIANTS[variant]
    model = MaskedLanguageModel(config, seed=1)
    assert num_parameters(config) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("dtype", "has_bf16_residual"), [(None, False), (torch.bfloat16, False), (torch.bfloat16, True)]
)
def test_a_layer_keeps_at_most_what_the_model_says(
    family: str, dtype: torch.dtype | None, has_bf16_residual: bool
) -> None:
    # On CPU attention with dropout keeps its scores; no GPU kernel of torch does.
    config = replace(FAMILIES[family], width=64, ffn=256, attention_dropout=0.0)
    config = replace(config, has_bf16_residual=has_bf16_residual)

    def kept(layers: int, num_sequences: int) -> int:
        return kept_bytes(replace(config, layers=layers), num_sequences, dtype)

    measured = (kept(3, 2) - kept(3, 1)) - (kept(2, 2) - kept(2, 1))
    estimated = LENGTH * layer_token_bytes(config, element_bytes=2 if dtype else 4)
    assert 0.8 * estimated < measured <= 1.01 * estimated


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("is_padded", [False, True])
def test_masks_of_padded_rows_are_counted_in_layers_that_look_nearby(
    is_padded: bool, dtype: torch.dtype | None
) -> None:
    looks_nearby = FAMILIES["ModernBertForMaskedLM that looks nearby"]
    config = replace(looks_nearby, max_positions=512, attention_dropout=0.0)

    def kept(layers: int, num_sequences: int) -> int:
        return kept_bytes(replace(config, layers=layers), num_sequences, dtype, length=512, is_padded=is_padded)

    def estimated(layers: int) -> int:
        size, element_bytes = replace(config, layers=layers), 2 if dtype else 4
        masks = mask_bytes(size, length=512, element_bytes=element_bytes) if is_padded else 0
        return masks + 512 * layers * layer_token_bytes(size, element_bytes=element_bytes)

    # Two local layers and a global one; the part that the last layer skips is in both numbers.
    measured = (kept(6, 2) - kept(6, 1)) - (kept(3, 2) - kept(3, 1))
    assert 0.8 * (estimated(6) - estimated(3)) < measured <= 1.01 * (estimated(6) - estimated(3))
    whole, without = (
        sequence_bytes(config, length=512, predictions=5, element_bytes=4, is_padded=padded) for padded in (True, False)
    )
    assert whole - without == mask_bytes(config, length=512, element_bytes=4) == 2 * 512 * 512 * 4


def kept_bytes(
    config: EncoderConfig,
    num_sequences: int,
    dtype: torch.dtype | None,
    *,
    length: int = LENGTH,
    is_padded: bool = False,
) -> int:
    """What autograd keeps of a forward pass, each storage once."""
    model = MaskedLanguageModel(config, seed=1)
    storages: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    ids_BS = torch.zeros(num_sequences, length, dtype=torch.int64)
    attention_mask_BS = (torch.arange(length) < length - 3).expand(num_sequences, -1) if is_padded else None
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        model(ids_BS, ids_BS[:, :4], ids_BS[:, :4], attention_mask_BS)
    return sum(size for size, _ in storages.values())


def test_a_process_is_counted_with_nccl_where_it_is_one_of_several() -> None:
    assert process_bytes(num_ranks=1) == CONTEXT_BYTES
    assert process_bytes(num_ranks=2) == CONTEXT_BYTES + exchange_bytes(num_ranks=2) == CONTEXT_BYTES + NCCL_BYTES


def test_a_small_pass_is_counted_with_the_gradients_that_it_returns() -> None:
    gradients = 4 * num_parameters(TINY)
    assert micro_batch_bytes(TINY, sequences=1, each_bytes=gradients // 2) == gradients
    assert micro_batch_bytes(TINY, sequences=3, each_bytes=gradients // 2) == 3 * (gradients // 2)


def test_states_are_what_the_optimizer_keeps_and_the_head_grows_with_the_vocabulary() -> None:
    weights = num_parameters(TINY)
    assert state_bytes(TINY, has_one_moment=False, element_bytes=4) == 16 * weights
    assert moment_bytes(TINY, has_one_moment=False) == 8 * weights
    assert state_bytes(TINY, has_one_moment=False, element_bytes=2) == 18 * weights
    assert state_bytes(TINY, has_one_moment=True, element_bytes=4) < 16 * weights
    larger = replace(TINY, vocab_size=TINY.vocab_size + 64)
    more, less = (
        sequence_bytes(each, length=32, predictions=5, element_bytes=2, is_padded=True) for each in (larger, TINY)
    )
    assert more - less == 5 * 64 * (2 * 2 + 12)
