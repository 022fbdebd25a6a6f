"""Names in a checkpoint of stock transformers that both sides read."""

from __future__ import annotations

CONFIG_FILE = "config.json"
WEIGHT_FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
"""Any one of them; the last two list the parts of weights that are divided."""
SHAPE_KEYS = {
    "num_hidden_layers": "layers",
    "hidden_size": "width",
    "num_attention_heads": "heads",
    "intermediate_size": "ffn",
    "layer_norm_eps": "norm_eps",
    "norm_eps": "norm_eps",
}
"""Keys of config.json that are a recipe's under another name."""
