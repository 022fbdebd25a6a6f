"""An attention kernel is used only if it is right: kernels that are wrong in some way stand in for PyTorch's on CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend

from bertd.train.autotune.attention_backend import time_backend
from bertd.train.autotune.attention_check import attend_by, find_fault
from bertd.train.autotune.attention_workload import AttentionWorkload
from tests.model.test_export import MODERN, TINY

CPU = torch.device("cpu")
ROWS = partial(AttentionWorkload.from_config, sequences=2, length=32, predictions=3)
PLAIN = ROWS(replace(TINY, attention_dropout=0.0), is_masked=False)
PADDED = ROWS(replace(TINY, attention_dropout=0.0), is_masked=True)
DROPPING = ROWS(replace(TINY, attention_dropout=0.1), is_masked=False)
DROPPING_PADDED = ROWS(replace(TINY, attention_dropout=0.1), is_masked=True)
LOCAL = ROWS(replace(MODERN, layers=4, local_attention=8, attention_dropout=0.0), is_masked=True)
WORKLOADS = [PLAIN, PADDED, DROPPING, DROPPING_PADDED, LOCAL]

Attend = Callable[..., Tensor]


def mathematics(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, dropout_p: float, *, scale: float = 1.0
) -> Tensor:
    scores = q @ k.mT * scale / q.size(-1) ** 0.5
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    mixed: Tensor = F.dropout(scores.softmax(-1), dropout_p) @ v
    return mixed


def replace_attention(monkeypatch: pytest.MonkeyPatch, attend: Attend) -> None:
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)


def fault_of(workload: AttentionWorkload, dtype: torch.dtype | None = None) -> str:
    return find_fault(attend_by(SDPBackend.MATH), workload, device=CPU, dtype=dtype) or ""


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_pytorchs_own_mathematics_is_right(workload: AttentionWorkload, dtype: torch.dtype | None) -> None:
    assert find_fault(attend_by(SDPBackend.MATH), workload, device=CPU, dtype=dtype) is None
    assert time_backend(attend_by(SDPBackend.MATH), workload, device=CPU, dtype=dtype) > 0


def test_the_calls_are_those_of_the_model() -> None:
    calls = list(LOCAL.calls())
    assert [(call.num_queries, call.is_local, call.num_layers) for call in calls] == [
        (32, False, 1),
        (32, True, 2),
        (3, False, 1),
    ]
    assert [(call.num_queries, call.num_layers) for call in PLAIN.calls()] == [(32, TINY.layers - 1), (3, 1)]


def test_a_backend_that_refuses_is_left_out_with_its_words() -> None:
    fault = find_fault(attend_by(SDPBackend.CUDNN_ATTENTION), PLAIN, device=CPU, dtype=None)
    assert fault is not None and fault.endswith("(all positions)")


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_slightly_wrong_scale_is_found(monkeypatch: pytest.MonkeyPatch, workload: AttentionWorkload) -> None:
    replace_attention(monkeypatch, partial(mathematics, scale=1.05))
    assert fault_of(workload, torch.bfloat16).startswith("wrong: output differs from fp32 mathematics by ")


def test_a_last_key_that_is_forgotten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, dropout_p: float) -> Tensor:
        return mathematics(q, k[:, :, :-1], v[:, :, :-1], None, dropout_p)

    replace_attention(monkeypatch, forgets)
    assert fault_of(PLAIN, torch.bfloat16).startswith("wrong: output differs")


def test_a_mask_that_is_ignored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def ignores(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, dropout_p: float) -> Tensor:
        return mathematics(q, k, v, None, dropout_p)

    replace_attention(monkeypatch, ignores)
    assert not fault_of(PLAIN) and fault_of(PADDED).startswith("wrong: output differs")


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def halves_gradient_of_k(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, dropout_p: float) -> Tensor:
        return mathematics(q, k / 2 + k.detach() / 2, v, attn_mask, dropout_p)

    replace_attention(monkeypatch, halves_gradient_of_k)
    assert fault_of(PLAIN).startswith("wrong: k's gradient differs from fp32 mathematics by 50.0%")


@pytest.mark.parametrize("workload", [DROPPING, DROPPING_PADDED])
def test_another_rate_of_dropout_is_found(monkeypatch: pytest.MonkeyPatch, workload: AttentionWorkload) -> None:
    def rounds_to_sixteenths(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, dropout_p: float) -> Tensor:
        return mathematics(q, k, v, attn_mask, round(dropout_p * 16) / 16)

    replace_attention(monkeypatch, rounds_to_sixteenths)
    fault = fault_of(workload)
    assert fault.startswith("wrong: drops ") and "where the recipe says 10.00%" in fault


def test_a_backward_pass_that_drops_other_weights_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def drops_twice(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, dropout_p: float) -> Tensor:
        weights = (q @ k.mT / q.size(-1) ** 0.5).softmax(-1)
        # The output is dropped once, and the gradient of v comes from other weights.
        dropped, other = F.dropout(weights, dropout_p), F.dropout(weights, dropout_p)
        mixed: Tensor = dropped @ v.detach() + other @ (v - v.detach())
        return mixed

    replace_attention(monkeypatch, drops_twice)
    assert "backward pass drops other weights" in fault_of(DROPPING)


def test_low_scores_that_are_not_finite_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflows(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, dropout_p: float) -> Tensor:
        """A softmax that does not subtract its maximum."""
        weights = (q @ k.mT / k.size(-1) ** 0.5).exp()
        mixed: Tensor = weights / weights.sum(-1, keepdim=True) @ v
        return mixed

    replace_attention(monkeypatch, overflows)
    assert fault_of(PLAIN) == "wrong: not finite at low scores (all positions)"


def test_a_fault_in_the_last_layers_shape_alone_leaves_a_backend_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, dropout_p: float) -> Tensor:
        if q.size(2) != k.size(2):
            raise RuntimeError("cuDNN Frontend error: no execution plans support the graph\nmore")
        return mathematics(q, k, v, attn_mask, dropout_p)

    replace_attention(monkeypatch, raises)
    assert fault_of(PLAIN) == (
        "cuDNN Frontend error: no execution plans support the graph (the last layer's 3 positions)"
    )
