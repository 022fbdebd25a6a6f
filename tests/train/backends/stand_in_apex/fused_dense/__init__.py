from .fused_dense import FusedDense as FusedDense
