"""Cross-entropy over the vocabulary that computes its gradient in the forward pass.

The logits of a micro-batch are a training step's largest tensor: 74 MB for 608 predicted tokens and 30,528 entries, too
large to stay in a cache between two uses, and autograd reads or writes such a tensor ten times. But the loss is a sum,
so its gradient with respect to the logits is softmax minus 1 at the label, known up to a factor as soon as the logits
are. The forward pass overwrites the logits with it, and the backward pass is three matrix products; the factor
multiplies their small operand or result, never the logits' gradient.

Shapes: N predicted tokens, D width, V padded vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_IGNORE_INDEX = -100
"""torch's default ignore_index."""
_ROWS_AT_ONCE = 16
"""Tokens per block on a CPU: their logits, 2 MB at BERT's vocabulary, stay in its caches from softmax to gradient."""


def token_loss(hidden_ND: Tensor, tokens_VD: Tensor, bias_V: Tensor, labels_N: Tensor) -> Tensor:
    """Sum of the cross-entropies, in nats and in fp32 whatever the precision of the rest.

    Args:
        hidden_ND: the decoder's input.
        tokens_VD: the decoder's weights, shared with the token embeddings.
        bias_V: the decoder's bias.
        labels_N: int64; -100 where nothing is predicted.
    """
    device = hidden_ND.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_ND.dtype
    if dtype is torch.float16 or not torch.is_grad_enabled():
        # In fp16, small entries of the gradient underflow without the loss scale, which comes with the backward pass.
        logits_NV = F.linear(hidden_ND, tokens_VD, bias_V)
        return F.cross_entropy(logits_NV.float(), labels_N, ignore_index=_IGNORE_INDEX, reduction="sum")
    loss: Tensor = _TokenLoss.apply(hidden_ND.to(dtype), tokens_VD.to(dtype), bias_V.to(dtype), labels_N)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return loss


class _TokenLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, tokens_VD: Tensor, bias_V: Tensor, labels_N: Tensor) -> Tensor:
        # Logits; _replace_by_gradient overwrites them with their gradient, block by block.
        grad_logits_NV = F.linear(hidden_ND, tokens_VD, bias_V)
        is_used_N = labels_N != _IGNORE_INDEX
        # An unused slot gets label 0 as a stand-in: its loss is masked below, and its gradient in the backward pass.
        labels_N1 = labels_N.clamp(min=0).unsqueeze(1)
        log_probabilities_N1 = torch.cat(
            [
                _replace_by_gradient(logits_RV, labels_R1)
                for logits_RV, labels_R1 in zip(_split_rows(grad_logits_NV), _split_rows(labels_N1), strict=True)
            ]
        )
        ctx.save_for_backward(hidden_ND, tokens_VD, grad_logits_NV, is_used_N)
        return -log_probabilities_N1.squeeze(1).masked_fill(~is_used_N, 0.0).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        hidden_ND, tokens_VD, grad_logits_NV, is_used_N = ctx.saved_tensors
        dtype, grad_loss_N = hidden_ND.dtype, is_used_N * grad_loss
        # Multiply by the loss's gradient in fp32 and round afterwards: rounded before, its error would scale the whole
        # gradient.
        grad_hidden_ND = ((grad_logits_NV @ tokens_VD) * grad_loss_N.unsqueeze(1)).to(dtype)
        grad_tokens_VD = grad_logits_NV.T @ (hidden_ND * grad_loss_N.unsqueeze(1)).to(dtype)
        grad_bias_V = ((grad_logits_NV.T @ is_used_N.to(dtype)) * grad_loss).to(dtype)
        return grad_hidden_ND, grad_tokens_VD, grad_bias_V, None


def _split_rows(tensor: Tensor) -> tuple[Tensor, ...]:
    """Split into blocks of rows that stay in a CPU's caches; compiled code and GPUs get the tensor whole."""
    is_whole = torch.compiler.is_compiling() or tensor.device.type != "cpu"
    return (tensor,) if is_whole else torch.split(tensor, _ROWS_AT_ONCE)


def _replace_by_gradient(logits_RV: Tensor, labels_R1: Tensor) -> Tensor:
    """Overwrite logits with the gradient of their loss; returns the labels' log-probabilities, R1."""
    log_probabilities_RV = F.log_softmax(logits_RV, dim=-1, dtype=torch.float32)
    label_log_probabilities_R1 = log_probabilities_RV.gather(1, labels_R1)
    # Subtract the 1 in fp32: in bf16, p - 1 would round to 0 for a label that the model is sure of.
    gradient_RV = log_probabilities_RV.exp_()
    if torch.compiler.is_compiling():
        entries_V = torch.arange(logits_RV.size(1), device=logits_RV.device)
        # The compiler fuses a comparison into the kernel of the exponentials; a scatter would be a separate kernel.
        gradient_RV = gradient_RV - (entries_V == labels_R1).float()
    else:
        gradient_RV.scatter_add_(1, labels_R1, gradient_RV.new_full((1, 1), -1.0).expand_as(labels_R1))
    logits_RV.copy_(gradient_RV)
    return label_log_probabilities_R1
