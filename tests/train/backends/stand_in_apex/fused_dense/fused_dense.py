import importlib
from typing import Any

import torch
from torch import Tensor, nn

extension = importlib.import_module("fused_dense_cuda")


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        out: Tensor = extension.forward(rows, weight, bias)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # The original does not check this, and reads wrong values from memory that is not contiguous.
        assert gradient.is_contiguous()
        rows, weight = ctx.saved_tensors
        return gradient @ weight, gradient.t() @ rows, gradient.sum(0)


class FusedDense(nn.Module):
    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        assert bias
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))

    def forward(self, rows: Tensor) -> Tensor:
        assert rows.dim() == 2 and rows.is_contiguous()
        kind = rows.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else rows.dtype
        with torch.autocast(kind, enabled=False):
            out: Tensor = _Dense.apply(rows.to(dtype), self.weight.to(dtype), self.bias.to(dtype))  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return out
