"""What a plan shows to be doubtful: each with its reason and a remedy. Pure."""

from __future__ import annotations

from pathlib import Path

from bertd.records import Record
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_count, format_share
from bertd.run.machine.disk_space import describe_shortage, estimate_disk_need
from bertd.run.plan.plan_run import RunPlan
from bertd.run.recipe.schema import Recipe

_PAPER_SEQUENCES = 20_000 * 4096
"""About what 24 hours of the paper's eight Titan-V computed: 23,000 steps of 4,096. Source: Izsak et al. 2021."""
_PAPER_PARAMETERS = 100e6
"""Smaller models are not meant to reach the paper's quality."""
_MAX_EPOCHS = 4.0
"""Up to here repeated data is nearly as good as new data. Source: Muennighoff et al. 2023."""
_MIN_WARMUP_STEPS = 100
"""Adam's second moment averages over 1 / (1 - 0.98) = 50 steps; before two of these it is mostly noise."""
_MIN_STEPS = 1_000
_SMALL_BATCH = 32
"""Sequences in a step that need not be fewer, however few steps there are."""
_MAX_START_SHARE = 0.1
_MAX_EXTRAS_SHARE = 0.05
_MAX_DATA_WAIT = 0.01
_MAX_OTHER_LOAD = 0.3
"""Cores."""
_MAX_SPREAD = 0.1


class PlanWarning(Record):
    """One doubt about a plan."""

    code: str
    """Stable, for scripts."""
    message: str
    """What, why, and the remedy."""


def find_warnings(recipe: Recipe, plan: RunPlan, *, free_bytes: int | None, folder: Path) -> list[PlanWarning]:
    """Every doubt about this plan, the gravest first.

    Args:
        free_bytes: on the disk that the run would be on; None if it is not known.
        folder: on that disk, for the message.
    """
    found = [
        _no_step(plan),
        _disk(recipe, plan, free_bytes=free_bytes, folder=folder),
        _paper_quality(plan),
        _repeated_data(plan),
        _few_steps(recipe, plan),
        _short_warmup(recipe, plan),
        *_overhead(plan),
        *_measurement(recipe, plan),
    ]
    return [PlanWarning(code=code, message=message) for code, message in filter(None, found)]


def _no_step(plan: RunPlan) -> tuple[str, str] | None:
    if plan.steps >= 1:
        return None
    return "no_step", "the budget is over before the first step; give more, or let a step be smaller (batch.sequences)"


def _disk(recipe: Recipe, plan: RunPlan, *, free_bytes: int | None, folder: Path) -> tuple[str, str] | None:
    if free_bytes is None:
        return None
    need = estimate_disk_need(recipe.checkpoint, num_parameters=plan.measurements.num_parameters)
    problem = describe_shortage(need, free_bytes=free_bytes, used_bytes=0, folder=folder)
    return ("disk", problem) if problem else None


def _paper_quality(plan: RunPlan) -> tuple[str, str] | None:
    if plan.measurements.num_parameters < _PAPER_PARAMETERS or plan.sequences >= _PAPER_SEQUENCES:
        return None
    return "below_paper", (
        f"{plan.sequences / 1e6:,.1f}M sequences are fewer than 20,000 steps of 4,096, with which 24hBERT came near "
        "BERT-base: that quality is out of reach; give more hours or devices, or train a smaller model"
    )


def _repeated_data(plan: RunPlan) -> tuple[str, str] | None:
    if plan.epochs <= _MAX_EPOCHS:
        return None
    return "repeated_data", (
        f"the data is read {plan.epochs:,.1f} times; beyond four times it teaches little (Muennighoff et al. 2023): "
        "add data, or give a smaller budget"
    )


def _few_steps(recipe: Recipe, plan: RunPlan) -> tuple[str, str] | None:
    if not 1 <= plan.steps < _MIN_STEPS or recipe.batch.sequences <= _SMALL_BATCH:
        return None
    smaller = max(_SMALL_BATCH, int(recipe.batch.sequences * plan.steps / _MIN_STEPS))
    return "large_batch", (
        f"{format_count(plan.steps, 'step')} of {recipe.batch.sequences:,} sequences: the batch is large for so few "
        f"updates; --set batch.sequences={smaller} allows more"
    )


def _short_warmup(recipe: Recipe, plan: RunPlan) -> tuple[str, str] | None:
    warmup_steps = int(recipe.schedule.warmup * plan.steps)
    if plan.steps < 1 or warmup_steps >= _MIN_WARMUP_STEPS:
        return None
    return "short_warmup", (
        f"the learning rate rises within {format_count(warmup_steps, 'step')}; below {_MIN_WARMUP_STEPS} the "
        "optimizer's averages are still noise: raise schedule.warmup, or lower optimizer.peak_lr"
    )


def _overhead(plan: RunPlan) -> list[tuple[str, str]]:
    account, total_s, found = plan.account, plan.total_s, list[tuple[str, str]]()
    start_s = account.start_s + account.choose_s + account.compile_s
    if start_s > _MAX_START_SHARE * total_s:
        remedy = ""
        if account.choose_s + account.compile_s > start_s / 2:
            remedy = '; precision.kernels = "eager" neither chooses nor compiles, and trains more slowly'
        found.append(
            (
                "slow_start",
                f"the start takes {format_duration(start_s)}, {format_share(start_s / total_s)} of the budget, "
                f"{format_duration(account.choose_s)} of it for choosing kernels and batch and "
                f"{format_duration(account.compile_s)} for compiling{remedy}",
            )
        )
    if account.validation_s > _MAX_EXTRAS_SHARE * total_s:
        found.append(
            (
                "slow_validation",
                f"{format_count(account.num_validations, 'validation')} take "
                f"{format_share(account.validation_s / total_s)} of the budget; raise validation.every or lower "
                "validation.max_sequences",
            )
        )
    if account.save_s > _MAX_EXTRAS_SHARE * total_s:
        found.append(
            (
                "slow_saves",
                f"{format_count(account.num_saves, 'checkpoint')} stop training for "
                f"{format_share(account.save_s / total_s)} of the budget; raise checkpoint.every",
            )
        )
    return found


def _measurement(recipe: Recipe, plan: RunPlan) -> list[tuple[str, str]]:
    measured, found = plan.measurements, list[tuple[str, str]]()
    if measured.is_estimate:
        found.append(
            (
                "estimate",
                "nothing was measured: this is the data sheet's peak times the share of it that the paper's own code "
                "reached; a start of 2 minutes and a disk of 1 GB/s are assumed. `bertd plan` on that machine measures",
            )
        )
    other_load = measured.other_load or 0.0
    if other_load > _MAX_OTHER_LOAD:
        found.append(
            (
                "busy",
                f"other processes kept {other_load:.1f} cores busy before it was measured: an idle machine buys more",
            )
        )
    elif measured.speed_spread > _MAX_SPREAD:
        found.append(
            (
                "busy",
                f"the speed varied by {format_share(measured.speed_spread)} while it was measured: this machine is "
                "busy, and an idle one buys more",
            )
        )
    if measured.data_wait > _MAX_DATA_WAIT:
        found.append(
            (
                "data_wait",
                f"training waits for data {format_share(measured.data_wait)} of the time; put the data set on a faster "
                "disk",
            )
        )
    if recipe.devices.nodes > 1 and plan.exchange_s:
        found.append(
            (
                "network_model",
                f"each step has {plan.exchange_s * 1000:,.0f} ms for the gradients between {recipe.devices.nodes} "
                "machines, by a model of the network that was not measured",
            )
        )
    elif measured.num_devices != recipe.devices.num_ranks:
        found.append(
            (
                "other_devices",
                f"measured on {format_count(measured.num_devices, 'device')} and taken times "
                f"{recipe.devices.num_ranks / measured.num_devices:g}: what several devices lose to the exchange of "
                "gradients is not in it",
            )
        )
    if measured.step_sequences != recipe.batch.sequences_at(0.0):
        found.append(
            (
                "other_batch",
                f"measured with steps of {measured.step_sequences:,} sequences, not "
                f"{recipe.batch.sequences_at(0.0):,}: larger steps are a little faster",
            )
        )
    return found
