"""Model FLOPs of training: matrix products only, forward and backward, nothing recomputed.

    encoder, a sequence:  3 x S x L x (8 D^2 + 4 D F + 4 S D), with 6 D F where the feed-forward is gated
    head, a sequence:     3 x M x (2 D^2 + 2 D V)

The count does not go down when the last layer skips positions, so that the trick shows as speed, not as less work.
"""

from __future__ import annotations

from bertd.model.encoder import EncoderConfig

_PEAK_BF16_FLOPS = {
    "H200 NVL": 835.5e12,
    "H200": 989.5e12,
    "H100 NVL": 835.5e12,
    "H100 PCIe": 756e12,
    "H100": 989.5e12,
    "A100": 312e12,
    "RTX 3090": 71e12,
    "TITAN V": 110e12,
    "V100": 125e12,
}
"""Dense 16-bit tensor peak of NVIDIA's data sheets, by a part of the device's name; the first that fits counts."""


def training_flops(config: EncoderConfig, *, sequence_length: int, predictions: int) -> float:
    """FLOPs to train on one sequence."""
    S, D, F, V = sequence_length, config.width, config.ffn, config.padded_vocab_size
    feed_forward = (6 if config.activation == "geglu" else 4) * D * F
    encoder = 3 * S * config.layers * (8 * D * D + feed_forward + 4 * S * D)
    head = 3 * predictions * (2 * D * D + 2 * D * V)
    return float(encoder + head)


def peak_flops(device_name: str) -> float | None:
    """FLOP/s the device can reach in 16 bits; None where no data sheet figure is kept here."""
    return next((peak for part, peak in _PEAK_BF16_FLOPS.items() if part in device_name), None)


def why_no_mfu(device_name: str) -> str | None:
    """For people, of a GPU whose peak is not kept here; None of one that is."""
    if peak_flops(device_name) is not None:
        return None
    return (
        f"{device_name}: an unknown GPU, so there is no peak to give the MFU as a share of; nothing else is looked up "
        "by its name. `bertd bench --synthetic` measures what it reaches"
    )
