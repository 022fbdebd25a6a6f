from .fused_layer_norm import FusedLayerNorm as FusedLayerNorm
