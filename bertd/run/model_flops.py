"""FLOPs of training a model: matrix products only, forward and backward, nothing recomputed. Pure.

    encoder, a sequence:  3 x S x L x (8 D^2 + 4 D F + 4 S D), with 6 D F where the feed-forward is gated
    head, a sequence:     3 x M x (2 D^2 + 2 D V)

The count does not go down when the last layer skips positions, so that the trick shows as speed, not as less work; nor
in layers with local attention, whose scores are computed and then masked.
"""

from __future__ import annotations


def training_flops(
    *, layers: int, width: int, ffn: int, is_gated: bool, vocab_size: int, sequence_length: int, predictions: int
) -> float:
    """FLOPs to train on one sequence."""
    S, D = sequence_length, width
    feed_forward = (6 if is_gated else 4) * D * ffn
    encoder = 3 * S * layers * (8 * D * D + feed_forward + 4 * S * D)
    head = 3 * predictions * (2 * D * D + 2 * D * vocab_size)
    return float(encoder + head)
