"""A plan as text: what the budget buys, where its seconds go, what it was measured on, and what is doubtful."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from bertd.cli.output.tables import BOLD, DIM, YELLOW, OutputStyle
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_budget_amount, format_bytes, format_count, format_share
from bertd.run.forecast.expect_loss import ExpectedLoss, expected_loss_text
from bertd.run.machine.disk_space import DiskNeed
from bertd.run.plan.plan_energy import PlanEnergy
from bertd.run.plan.plan_run import RunPlan
from bertd.run.plan.plan_warnings import PlanWarning
from bertd.run.recipe.schema import Recipe
from bertd.terminal_text import terminal_line

_LABEL = 11
_MAX_WIDTH = 120
_BAR_CELLS = 24
_SHOWN_S = 0.05
"""Shorter parts of the account are left out."""


def plan_text(
    recipe: Recipe,
    plan: RunPlan,
    *,
    disk: DiskNeed,
    warnings: Sequence[PlanWarning],
    energy: PlanEnergy | None,
    expected_loss: ExpectedLoss | None,
    mixture: Sequence[str],
    style: OutputStyle,
) -> str:
    """The whole plan for a person.

    Args:
        mixture: share and epochs of each data set of a mixture.
    """
    lines = [*_head(recipe, plan, style=style), "", *_account(plan, style=style), "", *_needs(recipe, plan, disk=disk)]
    if mixture:
        lines += _wrapped("data", "; ".join(mixture), style=style)
    if energy is not None:
        lines += _wrapped("energy", _energy(energy), style=style)
    loss = (
        "not known: no run of this recipe has trained to the end of its budget here"
        if expected_loss is None
        else expected_loss_text(expected_loss)
    )
    lines += _wrapped("loss", loss, style=style)
    lines += ["", *_measured(plan, style=style)]
    for warning in warnings:
        lines += _wrapped("warning", warning.message, style=style, color=YELLOW)
    return "\n".join(lines)


def _head(recipe: Recipe, plan: RunPlan, *, style: OutputStyle) -> list[str]:
    machines = "" if recipe.devices.nodes == 1 else f", {recipe.devices.nodes} machines"
    devices = f"{recipe.devices.num_ranks} x {plan.measurements.device_name}{machines}"
    budget = f"{format_budget_amount(plan.unit, plan.amount)} of {recipe.run.name} on {devices}"
    if plan.unit in ("steps", "sequences"):
        budget += f", which take {format_duration(plan.total_s)}"
    epochs = f", {plan.epochs:.2f} epochs" if plan.epochs else ""
    return [
        _line("budget", style.paint(terminal_line(budget), BOLD)),
        _line("buys", f"{format_count(plan.steps, 'step')} of {format_count(recipe.batch.sequences, 'sequence')}"),
        _line("", f"{_short(plan.sequences)} sequences, {_short(plan.tokens)} tokens{epochs}"),
    ]


def _account(plan: RunPlan, *, style: OutputStyle) -> list[str]:
    account = plan.account
    parts = [
        ("start", account.start_s, ""),
        ("choosing", account.choose_s, "kernels and micro-batch, by trials"),
        ("compiling", account.compile_s, ""),
        ("training", account.training_s, ""),
        ("validation", account.validation_s, format_count(account.num_validations, "time")),
        ("saves", account.save_s, f"stopped for {format_count(account.num_saves, 'checkpoint')}"),
        ("end", account.end_s, "kept for the last validation, checkpoint and export"),
    ]
    total_s = max(account.total_s, 1e-9)
    return [
        _line(
            name,
            f"{_duration(seconds):>8}  {format_share(seconds / total_s):>6}  "
            f"{style.paint(style.bar(seconds / total_s, cells=_BAR_CELLS), DIM)}  {note}".rstrip(),
        )
        for name, seconds, note in parts
        if seconds >= _SHOWN_S
    ]


def _duration(seconds: float) -> str:
    """With a decimal where whole seconds would say too little."""
    return f"{seconds:.1f}s" if seconds < 10 else format_duration(seconds)


def _needs(recipe: Recipe, plan: RunPlan, *, disk: DiskNeed) -> list[str]:
    measured = plan.measurements
    memory = "not measured" if measured.memory_bytes is None else f"{format_bytes(measured.memory_bytes)} a device"
    hours = f"{plan.device_hours:,.2f} {'GPU' if recipe.devices.kind == 'gpu' else 'process'}-hours"
    return [
        _line("memory", memory),
        _line(
            "disk",
            f"{format_bytes(disk.total_bytes)} at most, a checkpoint {format_bytes(disk.checkpoint_bytes)}",
        ),
        _line("devices", hours),
    ]


def _energy(energy: PlanEnergy) -> str:
    cost = "" if energy.cost is None else f", {energy.cost:,.2f} {energy.currency}"
    return f"{energy.kwh:,.2f} kWh{cost}, at {energy.watts_per_device:,.0f} W a device: {energy.source}"


def _measured(plan: RunPlan, *, style: OutputStyle) -> list[str]:
    measured = plan.measurements
    if measured.is_estimate:
        return _wrapped("speed", f"{measured.source}: {measured.sequences_per_s:,.0f} sequences/s", style=style)
    step_s = measured.step_sequences / measured.sequences_per_s
    mfu = "" if measured.mfu is None else f", MFU {format_share(measured.mfu)}"
    text = (
        f"{measured.source}: {measured.sequences_per_s:,.1f} sequences/s, spread "
        f"{format_share(measured.speed_spread)}; {step_s:.3g} s a step, micro-batch {measured.micro_batch}, "
        f"{measured.precision}, {measured.kernels}{mfu}; data wait {format_share(measured.data_wait)}, a validation "
        f"{_duration(measured.validation_s)}"
    )
    return _wrapped("measured", text, style=style)


def _wrapped(label: str, text: str, *, style: OutputStyle, color: str = "") -> list[str]:
    width = max(20, min(style.width or _MAX_WIDTH, _MAX_WIDTH) - _LABEL)
    first, *rest = textwrap.wrap(terminal_line(text), width) or [""]
    mark = style.paint(label.ljust(_LABEL), color) if color else label.ljust(_LABEL)
    return [mark + first, *(" " * _LABEL + line for line in rest)]


def _line(label: str, text: str) -> str:
    return f"{label.ljust(_LABEL)}{text}"


def _short(number: float) -> str:
    """`12.3M`, `480`."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= limit:
            return f"{number / (1e3 if unit == 'k' else limit):,.3g}{unit}"
    return f"{number:,.0f}"
