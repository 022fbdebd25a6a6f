"""Model FLOPs of training: matrix products only, forward and backward, nothing recomputed.

    encoder, a sequence:  3 x S x L x (8 D^2 + 4 D F + 4 S D), with 6 D F where the feed-forward is gated
    head, a sequence:     3 x M x (2 D^2 + 2 D V)

The count does not go down when the last layer skips positions, so that the trick shows as speed, not as less work; nor
in layers with local attention, whose scores are computed and then masked.
"""

from __future__ import annotations

import re

from bertd.model.encoder import EncoderConfig

_PEAK_BF16_FLOPS = {
    "GH200": 989.5e12,
    "H200 NVL": 835.5e12,
    "H200": 989.5e12,
    "H100 NVL": 835.5e12,
    "H100 PCIe": 756e12,
    "H100": 989.5e12,
    "A100": 312e12,
    "RTX 3090 Ti": 80e12,
    "RTX 3090": 71e12,
    "TITAN V": 110e12,
    "V100S": 130e12,
    "V100-PCIE": 112e12,
    "V100": 125e12,
}
"""Dense 16-bit tensor peak of NVIDIA's data sheets, by words in the device's name; the first match counts."""


def training_flops(config: EncoderConfig, *, sequence_length: int, predictions: int) -> float:
    """FLOPs to train on one sequence."""
    S, D, F, V = sequence_length, config.width, config.ffn, config.padded_vocab_size
    feed_forward = (6 if config.activation == "geglu" else 4) * D * F
    encoder = 3 * S * config.layers * (8 * D * D + feed_forward + 4 * S * D)
    head = 3 * predictions * (2 * D * D + 2 * D * V)
    return float(encoder + head)


def peak_flops(device_name: str) -> float | None:
    """FLOP/s the device can reach in 16 bits; None where no data sheet figure is kept here."""
    if _has_words(device_name, "MIG"):
        # A slice of the card: no data sheet says what it reaches.
        return None
    return next((peak for words, peak in _PEAK_BF16_FLOPS.items() if _has_words(device_name, words)), None)


def _has_words(device_name: str, words: str) -> bool:
    """Whether the name has these complete words: an RTX A1000 is not an A100, and a GH200 is not an H200."""
    return re.search(rf"\b{re.escape(words)}\b", device_name) is not None


def missing_mfu_reason(device_name: str) -> str | None:
    """Why the MFU of a GPU is not known, as text; None if its peak is kept here."""
    if peak_flops(device_name) is not None:
        return None
    return (
        f"{device_name}: an unknown GPU, so there is no peak to compute the MFU from; nothing else is looked up by its "
        "name. `bertd bench --synthetic` measures what it reaches"
    )
