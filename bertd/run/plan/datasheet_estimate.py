"""Estimate a run on GPUs that are not here, from their data sheet. Pure.

A speed is the data sheet's peak times a share. The shares are those of the paper's own code, from the times of its
recipe in Izsak et al. 2021, table 6: 23,000 steps of 4,096 sequences took one A100 2.75 days, one RTX 3090 5.84 days,
eight Titan-V one day; four cards were 0.93 times as fast as four times one. A GPU that is not in that table is taken to
reach the smallest of these shares. What memory bandwidth allows on an H200 is twice that; nobody has measured bertd
there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bertd.errors import RecipeError
from bertd.run.budget import end_reserve_s
from bertd.run.machine.disk_space import CHECKPOINT_BYTES_PER_PARAMETER, estimate_num_parameters
from bertd.run.machine.gpu_datasheet import find_datasheet_name, planned_names, planned_peak_flops
from bertd.run.model_flops import training_flops
from bertd.run.plan.measurements import Measurements
from bertd.run.recipe.schema import Recipe

_PUBLISHED_SHARES = {"A100": 0.31, "RTX 3090": 0.63, "TITAN V": 0.32}
"""Of one card's peak, by its name on the data sheet."""
_SEVERAL_SHARE = 0.93
_START_S = 120.0
"""Assumed: the goal for a start with empty caches on one GPU."""
_SAVE_BYTES_PER_S = 1e9
"""Assumed."""
_COUNT_BY_NAME = re.compile(r"^\s*(\d+)\s*x\s*(.+?)\s*$")
_NAME_AND_COUNT = re.compile(r"^\s*(.+?)-(\d+)\s*$")


@dataclass(frozen=True)
class PlannedDevices:
    """GPUs of one kind."""

    name: str
    """As it was written."""
    count: int
    peak_flops: float
    """Of one, dense, in 16 bits."""
    share: float
    """Of the peak that training reaches."""


def parse_planned_devices(text: str) -> PlannedDevices:
    """GPUs such as 8xA5000 or h200-8.

    Raises:
        ValueError: it is not written so, or no data sheet figure of that GPU is kept here.
    """
    if match := _COUNT_BY_NAME.match(text):
        count, name = int(match[1]), match[2]
    elif match := _NAME_AND_COUNT.match(text):
        count, name = int(match[2]), match[1]
    else:
        count, name = 1, text.strip()
    known = find_datasheet_name(name)
    if known is None or not 1 <= count <= 65_536:
        raise ValueError(f"{text!r}: write 8xA5000 or h200-8; the GPUs known are {', '.join(planned_names())}")
    share = _PUBLISHED_SHARES.get(known, min(_PUBLISHED_SHARES.values()))
    return PlannedDevices(name, count, planned_peak_flops(known), share)


def estimate_from_datasheet(
    recipe: Recipe, devices: PlannedDevices, *, vocab_size: int, train_sequences: int
) -> Measurements:
    """What a run's journal might say on these GPUs.

    Args:
        vocab_size: of the data set.
        train_sequences: of one epoch; 0 if it is not known.

    Raises:
        RecipeError: the recipe is for the CPU.
    """
    if recipe.devices.kind != "gpu":
        raise RecipeError(f"{recipe.run.name}: is a recipe for the CPU; --set devices.kind=gpu")
    length = recipe.data.sequence_length
    predictions = recipe.masking.predictions(length)
    flops = training_flops(
        layers=recipe.model.layers,
        width=recipe.model.width,
        ffn=recipe.model.ffn,
        is_gated=recipe.model.activation == "geglu",
        vocab_size=-(-vocab_size // 64) * 64,
        sequence_length=length,
        predictions=predictions,
    )
    scaling = devices.count * (_SEVERAL_SHARE if devices.count > 1 else 1.0)
    speed = devices.share * devices.peak_flops * scaling / flops
    num_parameters = estimate_num_parameters(recipe, vocab_size=vocab_size)
    checkpoint_bytes = num_parameters * CHECKPOINT_BYTES_PER_PARAMETER
    validation_s = recipe.validation.max_sequences / (3 * speed)
    save_s = checkpoint_bytes / _SAVE_BYTES_PER_S
    return Measurements(
        source=f"estimated from the data sheet of {devices.name}, at {devices.share:.0%} of its peak",
        device="cuda",
        device_name=devices.name,
        num_devices=devices.count,
        precision="16 bits",
        kernels="not chosen",
        num_parameters=num_parameters,
        micro_batch=recipe.batch.sequences if recipe.batch.micro == "auto" else recipe.batch.micro,
        step_sequences=recipe.batch.sequences_at(0.0),
        sequence_length=length,
        train_sequences=train_sequences,
        validation_sequences=recipe.validation.max_sequences,
        sequences_per_s=speed,
        speed_spread=0.0,
        start_s=_START_S,
        choose_s=0.0,
        compile_s=0.0,
        validation_s=validation_s,
        save_stall_s=0.0,
        checkpoint_bytes=checkpoint_bytes,
        reserve_s=end_reserve_s(validation_s=validation_s, save_s=save_s),
        memory_bytes=None,
        data_wait=0.0,
        mfu=devices.share,
        is_estimate=True,
    )
