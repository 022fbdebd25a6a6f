import importlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FusedLayerNorm(nn.Module):
    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        self.extension = importlib.import_module("fused_layer_norm_cuda")
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = torch.Size(shape)
        self.eps = eps
        assert elementwise_affine
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        with torch.autocast(kind, enabled=False):
            cast = [tensor.to(dtype) for tensor in (x, self.weight, self.bias)]
            out: Tensor = self.extension.layer_norm(*cast, self.normalized_shape, self.eps)
        return out
