"""The start record of an attempt, and its warnings before the first step."""

from __future__ import annotations

import time

from bertd.data.batches.batches import TrainBatches
from bertd.model.encoder import MaskedLanguageModel
from bertd.model.flops import missing_mfu_reason
from bertd.records import StartRecord
from bertd.run.ledger import TICK_S, ChargedClock, boot_id
from bertd.run.recipe.schema import Recipe
from bertd.train.autotune.attention_backend import AttentionChoice
from bertd.train.autotune.choose import ExecutionPlan
from bertd.train.autotune.kernels import KernelChoice
from bertd.train.backends.precision import Precision, find_unused_fp16, find_unused_tf32
from bertd.train.checkpoint.disk_space import check_disk_space
from bertd.train.checkpoint.resume import StartingPoint
from bertd.train.distributed.process_group import Ranks
from bertd.train.provenance import device_name
from bertd.train.run_inputs import RunInputs

_LEDGER_TOLERANCE_S = 2 * TICK_S
"""Seconds that a ledger may lack after a kill: one tick, and one more as a margin."""


def build_start_record(
    run_inputs: RunInputs,
    ranks: Ranks,
    model: MaskedLanguageModel,
    attempt: int,
    starting_point: StartingPoint,
    execution: ExecutionPlan,
    batches: TrainBatches,
) -> StartRecord:
    recipe, kernels = run_inputs.recipe, execution.kernels
    return StartRecord(
        t=time.time(),
        attempt=attempt,
        step=starting_point.state.step,
        sequences=starting_point.state.sequences,
        start_from=starting_point.start_from,
        charged_s=ChargedClock(run_inputs.paths.ledger).now_s(),
        world_size=ranks.world_size,
        device=ranks.device.type,
        device_name=device_name(ranks.device),
        precision=execution.setup.precision.mode,
        kernels=kernels.name,
        kernels_reason=kernels.reason,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        attention=", ".join(execution.attention.names),
        attention_reason=execution.attention.reason,
        micro_batch=execution.micro.sequences,
        micro_batch_reason=execution.micro.reason,
        accumulation=batches.accumulation,
        empty_rows=recipe.batch.num_padding_rows(
            batches.global_batch, micro=execution.micro.sequences, num_devices=ranks.world_size
        ),
        sequence_length=recipe.data.sequence_length,
        train_sequences=run_inputs.train.num_sequences,
        boot_id=boot_id(),
        validation_sequences=min(recipe.validation.max_sequences, run_inputs.validation.num_sequences),
    )


def collect_start_warnings(
    run_inputs: RunInputs,
    ranks: Ranks,
    model: MaskedLanguageModel,
    starting_point: StartingPoint,
    execution: ExecutionPlan,
    *,
    charged_s: float,
) -> dict[str, str]:
    """Collect the alerts to report before the first step, code to message.

    Raises:
        StorageError: the disk is too small for a run that has not started.
    """
    return {
        **_collect_resume_warnings(starting_point, charged_s=charged_s),
        **_collect_apex_warnings(execution.kernels),
        **_collect_slow_path_warnings(execution.kernels, execution.attention, ranks),
        **_collect_memory_warnings(execution),
        **_collect_device_warnings(ranks, execution.setup.precision),
        **_collect_weight_warnings(run_inputs.recipe, starting_point),
        **_collect_disk_warnings(run_inputs, model, starting_point),
    }


def _collect_resume_warnings(starting_point: StartingPoint, *, charged_s: float) -> dict[str, str]:
    warnings = {}
    if starting_point.skipped:
        skipped = "; ".join(starting_point.skipped)
        warnings["checkpoint_skipped"] = f"skipped {skipped}; resumed from step {starting_point.state.step}"
    if starting_point.state.charged_s > charged_s + _LEDGER_TOLERANCE_S:
        warnings["ledger_behind"] = (
            f"the ledger has {charged_s:.0f} s, and the checkpoint was saved at "
            f"{starting_point.state.charged_s:.0f} s: the budget is longer by as much; `bertd budget` shrinks it"
        )
    return warnings


def _collect_apex_warnings(kernels: KernelChoice) -> dict[str, str]:
    if not kernels.apex.faults:
        return {}
    return {"apex_incomplete": f"using PyTorch's own instead: {kernels.apex.describe_faults()}"}


def _collect_slow_path_warnings(kernels: KernelChoice, attention: AttentionChoice, ranks: Ranks) -> dict[str, str]:
    """What was fallen back to, and costs speed; `bertd doctor` looks for the same before a run."""
    warnings = {}
    if kernels.compile_fault:
        warnings["compile_failed"] = (
            f"{kernels.name} kernels, because compiled ones do not work here: {kernels.compile_fault}; `bertd doctor` "
            "says what is missing"
        )
    if kernels.name == "eager" and kernels.is_of_recipe and ranks.device.type == "cuda":
        warnings["eager_kernels"] = (
            '[precision] kernels = "eager": compiled ones join what eager ones read and write one by one; "auto" takes '
            "those where they work"
        )
    if ranks.device.type == "cuda" and attention.names[:1] == ("math",):
        warnings["attention_math"] = (
            f"attention without a fused kernel, which reads and writes all its scores in memory: {attention.reason}"
        )
    return warnings


def _collect_memory_warnings(execution: ExecutionPlan) -> dict[str, str]:
    return {"micro_batch_lowered": execution.micro.too_large} if execution.micro.too_large else {}


def _collect_weight_warnings(recipe: Recipe, starting_point: StartingPoint) -> dict[str, str]:
    """Keys about first weights that a loaded checkpoint brings itself."""
    if starting_point.start_from is None:
        return {}
    warnings: dict[str, str] = {}
    if recipe.model.head_bias != "zero":
        warnings["head_bias_unused"] = (
            f'[model] head_bias = "{recipe.model.head_bias}" has no effect: the output bias is that of '
            f"{starting_point.start_from}; --set model.head_bias=zero says so"
        )
    if recipe.model.first_weights != "normal":
        warnings["first_weights_unused"] = (
            f'[model] first_weights = "{recipe.model.first_weights}" has no effect: the weights are those of '
            f"{starting_point.start_from}; --set model.first_weights=normal says so"
        )
    return warnings


def _collect_device_warnings(ranks: Ranks, precision: Precision) -> dict[str, str]:
    if ranks.device.type != "cuda":
        return {}
    problems = {
        "unknown_gpu": missing_mfu_reason(device_name(ranks.device)),
        "tf32_off": find_unused_tf32(precision, ranks.device),
        "fp32_products": find_unused_fp16(precision, ranks.device),
    }
    return {code: problem for code, problem in problems.items() if problem}


def _collect_disk_warnings(
    run_inputs: RunInputs, model: MaskedLanguageModel, starting_point: StartingPoint
) -> dict[str, str]:
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    is_fresh = starting_point.state.step == 0
    problem = check_disk_space(
        run_inputs.paths, run_inputs.recipe.checkpoint, num_parameters=num_parameters, is_fresh=is_fresh
    )
    return {"disk_low": problem} if problem else {}
