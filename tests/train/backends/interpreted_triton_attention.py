"""The Triton attention kernel against fp64 mathematics, in Triton's interpreter: test_triton_attention.py runs these.

The interpreter is chosen by a variable before triton is imported, for a whole process, and slow: so the shapes are few
and small. It shows that the mathematics is right, and nothing of a GPU: memory, speed, what the compiler makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch._dynamo
from torch import Tensor

from bertd.model.encoder import EncoderConfig, MaskedLanguageModel, use_packed_attention
from bertd.train.autotune.attention_backend import attend_with_own_kernel
from bertd.train.autotune.attention_check import attend_and_differentiate, find_fault
from bertd.train.autotune.attention_workload import AttentionInputs, AttentionWorkload
from bertd.train.backends import triton_attention
from bertd.train.backends.triton_attention import HEAD_WIDTHS, attend_packed
from tests.model.test_export import TINY, trained_like

CPU = torch.device("cpu")
B, H = 2, 2
TOLERANCES = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}
"""Norm of the difference over the norm of the reference. The interpreter cuts bf16 off where a GPU rounds."""
attend = attend_with_own_kernel


def make_inputs(S: int, K: int, M: int | None = None, *, dtype: torch.dtype = torch.float32) -> AttentionInputs:
    generator = torch.Generator().manual_seed(S + K)
    draw = partial(torch.randn, generator=generator)
    q_BMHK = None if M is None else draw(B, M, H, K).to(dtype)
    return AttentionInputs(q_BMHK, draw(B, S, 3 if M is None else 2, H, K).to(dtype))


def make_mask(S: int) -> Tensor:
    """Half of the second sequence is padding, and all of the keys of none."""
    mask_BS = torch.ones(B, S, dtype=torch.bool)
    mask_BS[1, S // 2 :] = False
    return mask_BS[:, None, None, :]


def in_fp64(inputs: AttentionInputs) -> AttentionInputs:
    return AttentionInputs(None if inputs.q_BMHK is None else inputs.q_BMHK.double(), inputs.packed_BSPHK.double())


def mathematics(
    inputs: AttentionInputs, mask: Tensor | None, dropout: float, *, kept_BHQS: Tensor | None = None
) -> Tensor:
    q, k, v = inputs.split()
    scores = q @ k.mT / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1)
    if kept_BHQS is not None:
        weights = weights * kept_BHQS / (1 - dropout)
    mixed_BQD: Tensor = (weights @ v).transpose(1, 2).flatten(2)
    return mixed_BQD


def assert_agrees(
    inputs: AttentionInputs,
    mask: Tensor | None,
    *,
    dropout: float = 0.0,
    kept_BHQS: Tensor | None = None,
    seed: int = 0,
) -> None:
    q_BHQK, *_ = inputs.split()
    grad_BQD = torch.randn(
        B, q_BHQK.size(2), q_BHQK.size(1) * q_BHQK.size(3), generator=torch.Generator().manual_seed(1)
    )
    grad_BQD = grad_BQD.to(q_BHQK.dtype)
    torch.manual_seed(seed)
    out, gradients = attend_and_differentiate(attend, inputs, mask, grad_BQD, dropout=dropout)
    reference = partial(mathematics, kept_BHQS=kept_BHQS)
    expected_out, expected_gradients = attend_and_differentiate(
        reference, in_fp64(inputs), mask, grad_BQD.double(), dropout=dropout
    )
    pairs = zip((out, *gradients.split()), (expected_out, *expected_gradients.split()), strict=True)
    for actual, expected in pairs:
        assert actual.dtype is q_BHQK.dtype and actual.shape == expected.shape
        assert (actual.double() - expected).norm() <= TOLERANCES[q_BHQK.dtype] * expected.norm()


# ---- The mathematics -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("K", HEAD_WIDTHS)
@pytest.mark.parametrize("S", [7, 64, 100, 128])
def test_output_and_gradients_are_those_of_fp64_mathematics(S: int, K: int, is_masked: bool) -> None:
    assert_agrees(make_inputs(S, K), make_mask(S) if is_masked else None)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize(("S", "K", "M"), [(7, 16, 1), (64, 32, 5), (100, 64, 20), (128, 64, 38), (128, 128, 1)])
def test_so_are_they_for_a_few_queries_over_all_keys(S: int, K: int, M: int, is_masked: bool) -> None:
    assert_agrees(make_inputs(S, K, M), make_mask(S) if is_masked else None)


@pytest.mark.parametrize("M", [None, 20])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_so_are_they_in_16_bits(dtype: torch.dtype, M: int | None) -> None:
    assert_agrees(make_inputs(128, 64, M, dtype=dtype), make_mask(128))


def test_a_query_that_may_see_nothing_gets_nothing_and_gives_no_gradient() -> None:
    inputs = make_inputs(7, 16)
    mask = make_mask(7)
    mask[1] = False

    out, gradients = attend_and_differentiate(attend, inputs, mask, None)

    assert out[0].any() and not out[1].any()
    assert gradients.packed_BSPHK[0].any() and not gradients.packed_BSPHK[1].any()


def test_inputs_and_gradients_may_be_strided() -> None:
    inputs = make_inputs(64, 32, 5)
    assert inputs.q_BMHK is not None
    strided = AttentionInputs(*(each.mT.contiguous().mT for each in (inputs.q_BMHK, inputs.packed_BSPHK)))
    assert_agrees(strided, None)
    whole = make_inputs(64, 32)
    ones, _ = attend_and_differentiate(attend, whole, None, torch.ones(()).expand(B, 64, H * 32))
    assert torch.equal(ones, attend_and_differentiate(attend, whole, None, None)[0])


# ---- Dropout ---------------------------------------------------------------------------------------


def kept_weights(inputs: AttentionInputs, *, rate: float, seed: int) -> Tensor:
    """BHQS: which weights a call keeps. Equal scores, and values one-hot for K keys at a time, show them all."""
    q, k, v = inputs.split()
    (S, K), kept = v.shape[-2:], []
    for first_key in range(0, S, K):
        one_hot_SK = torch.eye(S)[:, first_key : first_key + K]
        one_hot_SK = torch.nn.functional.pad(one_hot_SK, (0, K - one_hot_SK.size(1)))
        packed = AttentionInputs.pack(
            torch.zeros_like(q), torch.zeros_like(k), one_hot_SK.expand_as(v), is_for_all=inputs.q_BMHK is None
        )
        torch.manual_seed(seed)
        out, _ = attend_and_differentiate(attend, packed, None, None, dropout=rate)
        kept.append(out.view(B, -1, H, K).transpose(1, 2) > 0)
    return torch.cat(kept, dim=-1)[..., :S]


@pytest.mark.parametrize("rate", [0.1, 0.37])
@pytest.mark.parametrize(("S", "M"), [(128, None), (100, None), (128, 20)])
def test_both_passes_drop_the_same_weights_at_the_rate_asked_for(S: int, M: int | None, rate: float) -> None:
    inputs = make_inputs(S, 64, M)

    kept_BHQS = kept_weights(inputs, rate=rate, seed=3)

    dropped = 1 - float(kept_BHQS.double().mean())
    assert abs(dropped - rate) < 5 * (rate * (1 - rate) / kept_BHQS.numel()) ** 0.5
    # No two heads, sequences or halves of a tile drop alike.
    tiles = kept_BHQS.flatten(0, 1).flatten(1).double()
    assert torch.corrcoef(tiles).fill_diagonal_(0).abs().max() < 5 * tiles.size(1) ** -0.5
    # With the very weights that the output showed, fp64 mathematics has the same output and the same gradients.
    assert_agrees(inputs, make_mask(S), dropout=rate, kept_BHQS=kept_BHQS, seed=3)
    assert not torch.equal(kept_BHQS, kept_weights(inputs, rate=rate, seed=4))


def test_two_calls_with_the_same_seed_agree_to_the_last_bit() -> None:
    results: list[list[Tensor]] = []
    for _ in range(2):
        torch.manual_seed(5)
        out, gradients = attend_and_differentiate(attend, make_inputs(100, 64), make_mask(100), None, dropout=0.1)
        results.append([out, gradients.packed_BSPHK])
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


# ---- In its place ----------------------------------------------------------------------------------

WIDE = replace(TINY, heads=2)
"""With heads as wide as the kernel takes."""


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_the_check_that_every_kernel_must_pass_finds_nothing(
    dtype: torch.dtype | None, is_masked: bool, dropout: float
) -> None:
    config = replace(WIDE, attention_dropout=dropout)
    workload = AttentionWorkload.from_config(config, sequences=2, length=32, predictions=3, is_masked=is_masked)
    assert find_fault(attend, workload, device=CPU, dtype=dtype) is None


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("M", [None, 5])
def test_the_operators_are_as_pytorch_wants_them(M: int | None, dropout: float) -> None:
    inputs = make_inputs(16, 16, M)
    tensors = [each if each is None else each.requires_grad_() for each in (inputs.q_BMHK, inputs.packed_BSPHK)]
    seed_1 = torch.tensor([7]) if dropout > 0 else None
    torch.library.opcheck(triton_attention._attend, (*tensors, make_mask(16)[:, 0, 0], seed_1, dropout))


def gradients_of(model: MaskedLanguageModel, forward: Callable[..., Tensor], *, is_masked: bool) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    ids_BS = torch.randint(0, 100, (3, 24), generator=generator)
    positions_BM = torch.stack([torch.randperm(24, generator=generator)[:4] for _ in range(3)])
    mask_BS = torch.arange(24) < torch.tensor([[24], [20], [13]])
    torch.manual_seed(0)
    model.zero_grad(set_to_none=True)
    loss = forward(ids_BS, positions_BM, ids_BS.gather(1, positions_BM), mask_BS if is_masked else None)
    return [loss, *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.parametrize("is_masked", [False, True])
def test_a_model_computes_with_it_what_it_computes_with_pytorchs(is_masked: bool) -> None:
    model = trained_like(replace(WIDE, dropout=0.0, attention_dropout=0.0)).train()
    expected = gradients_of(model, model, is_masked=is_masked)
    use_packed_attention(model, attend_packed)

    actual = gradients_of(model, model, is_masked=is_masked)

    assert all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in zip(actual, expected, strict=True))
    assert not all(torch.equal(ours, theirs) for ours, theirs in zip(actual, expected, strict=True))


@pytest.mark.parametrize("config", [WIDE, replace(WIDE, dropout=0.0, attention_dropout=0.0)])
def test_it_compiles_into_one_graph_that_computes_the_same(config: EncoderConfig) -> None:
    model = trained_like(config).train()
    use_packed_attention(model, attend_packed)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(model, fullgraph=True, dynamic=False, backend="aot_eager")

    actual = gradients_of(model, compiled, is_masked=True)

    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    expected = gradients_of(model, model, is_masked=True)
    assert all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in zip(actual, expected, strict=True))


def test_a_shape_it_does_not_take_is_refused() -> None:
    with pytest.raises(RuntimeError, match="bertd's attention kernel: it takes up to 128 tokens, not 129"):
        attend(make_inputs(129, 64), None, 0.0)
    with pytest.raises(RuntimeError, match="it takes heads of width 16, 32, 64, 128, not 48"):
        attend(make_inputs(16, 48), None, 0.0)
