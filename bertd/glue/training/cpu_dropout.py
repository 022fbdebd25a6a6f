"""Dropout on the CPU with masks that cost less to draw.

torch draws a mask element by element: in a finetuning of a small encoder that was a sixth of the time. Here each drawn
64-bit word gives four elements, so that a share is a multiple of 1 / 65,536. The words come from torch's global
generator, as its own masks do.

B  sequences
H  heads
S  tokens
K  width of a head
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_LEVELS = 1 << 16
_LOWEST = -(1 << 15)
_WORD = 1 << 63
_ELEMENTS_PER_WORD = 4


@contextmanager
def cheap_dropout(device: torch.device) -> Iterator[None]:
    """On the CPU, replace the dropout of the models that are called inside; elsewhere do nothing."""
    if device.type != "cpu":
        yield
        return
    with _CheapDropout():
        yield


def drop(values: Tensor, *, share: float) -> Tensor:
    """The values, a share of them 0 and the others larger in proportion."""
    num_dropped = round(share * _LEVELS)
    if num_dropped == 0:
        return values
    if num_dropped == _LEVELS:
        return values * 0.0
    num_words = -(-values.numel() // _ELEMENTS_PER_WORD)
    words = torch.empty(num_words, dtype=torch.int64).random_(-_WORD, _WORD - 1)
    elements = words.view(torch.int16)[: values.numel()].view(values.shape)
    scale = _LEVELS / (_LEVELS - num_dropped)
    return values * (elements >= _LOWEST + num_dropped).to(values.dtype).mul_(scale)


class _CheapDropout(TorchFunctionMode):
    """Answers calls of torch's dropout, and of its attention where that has dropout."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        replacement = _REPLACEMENTS.get(func)
        result = None if replacement is None else replacement(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {})) if result is None else result


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor | None:
    return drop(input, share=p) if training and not inplace else None


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    if dropout_p == 0.0 or is_causal or enable_gqa:
        return None
    # torch's own path, where there is dropout on a CPU.
    scores_BHSS = (query * (1 / math.sqrt(query.size(-1)) if scale is None else scale)) @ key.transpose(-2, -1)
    if attn_mask is not None:
        is_kept = attn_mask.dtype == torch.bool
        scores_BHSS = scores_BHSS.masked_fill(~attn_mask, -math.inf) if is_kept else scores_BHSS + attn_mask
    mixed_BHSK: Tensor = drop(scores_BHSS.softmax(dim=-1), share=dropout_p) @ value
    return mixed_BHSK


_REPLACEMENTS: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    F.dropout: _dropout,
    F.scaled_dot_product_attention: _attention,
}
"""Each returns None where torch's own is to answer."""
