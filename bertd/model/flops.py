"""Model FLOPs of training, for the MFU: see bertd.run.model_flops."""

from __future__ import annotations

from bertd.model.encoder import EncoderConfig
from bertd.run import model_flops
from bertd.run.machine.gpu_datasheet import peak_flops


def training_flops(config: EncoderConfig, *, sequence_length: int, predictions: int) -> float:
    """FLOPs to train on one sequence."""
    return model_flops.training_flops(
        layers=config.layers,
        width=config.width,
        ffn=config.ffn,
        is_gated=config.activation == "geglu",
        vocab_size=config.padded_vocab_size,
        sequence_length=sequence_length,
        predictions=predictions,
    )


def missing_mfu_reason(device_name: str) -> str | None:
    """Why the MFU of a GPU is not known, as text; None if its peak is kept here."""
    if peak_flops(device_name) is not None:
        return None
    return (
        f"{device_name}: an unknown GPU, so there is no peak to compute the MFU from; nothing else is looked up by its "
        "name. `bertd bench --synthetic` measures what it reaches"
    )
