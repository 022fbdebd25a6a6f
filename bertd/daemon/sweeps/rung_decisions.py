"""Which settings continue past a rung, and their ranks. Pure.

A bound on the loss is applied to each setting as it arrives; a share is kept when all that are left have arrived. Of
equal losses the setting with the lower number is better, so that the same losses always give the same decision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bertd.jobs.store.tables.sweep_table import SettingRow
from bertd.records import SettingState, SweepSpec
from bertd.run.amounts.durations import format_exact_duration
from bertd.run.amounts.quantities import format_share
from bertd.run.recipe.sweep_rungs import num_kept

IN_PLAY = frozenset({SettingState.WAITING, SettingState.TRAINING, SettingState.AT_RUNG, SettingState.PASSED})
"""States of a setting that may still win and has not finished."""


def record_loss(row: SettingRow, loss: float, *, spec: SweepSpec, share: float = 1.0) -> SettingRow:
    """The setting after it reached its rung, or the end, with this validation loss in nats.

    Args:
        share: of the validation sequences, 0..1, that the loss is of; below 1 only at the end of a budget.
    """
    losses = (*row.losses, loss)
    where = rung_text(spec, row.rung)
    if not math.isfinite(loss):
        return replace(row, losses=losses, state=SettingState.DROPPED, reason=f"its loss at {where} is {loss}")
    if row.rung == len(spec.rungs):
        return replace(row, losses=losses, state=SettingState.FINISHED, reason=_partial_text(share))
    rung = spec.rungs[row.rung]
    if rung.max_loss is not None and loss > rung.max_loss:
        reason = f"validation loss {loss:.3f} at {where} is above {rung.max_loss:g}"
        return replace(row, losses=losses, state=SettingState.DROPPED, reason=reason)
    if rung.keep is None:
        return replace(row, losses=losses, state=SettingState.PASSED, rung=row.rung + 1)
    return replace(row, losses=losses, state=SettingState.AT_RUNG, reason=f"waits at {where} for the others")


def cut_rung(rows: Sequence[SettingRow], *, spec: SweepSpec) -> list[SettingRow]:
    """The settings that change because the last one has arrived at a rung; none while others are on their way."""
    left = [row for row in rows if row.state in IN_PLAY]
    if not left or any((row.state, row.rung) != (SettingState.AT_RUNG, left[0].rung) for row in left):
        return []
    index = left[0].rung
    number = num_kept(len(left), keep=spec.rungs[index].keep)
    cut = []
    for place, row in enumerate(sorted(left, key=lambda row: (row.losses[-1], row.number)), start=1):
        if place <= number:
            cut.append(replace(row, state=SettingState.PASSED, rung=index + 1, reason=""))
        else:
            reason = f"{place} of {len(left)} at {rung_text(spec, index)}; the best {number} continue"
            cut.append(replace(row, state=SettingState.DROPPED, reason=reason))
    return cut


def rank_settings(rows: Sequence[SettingRow]) -> list[SettingRow]:
    """Those that have a loss, best first: the further a setting came, the better; then by its newest loss."""
    measured = [row for row in rows if row.losses]
    return sorted(measured, key=lambda row: (-len(row.losses), _sortable(row.losses[-1]), row.number))


def rung_text(spec: SweepSpec, index: int) -> str:
    """When a rung is, as text; its index may be that of the end."""
    if index < len(spec.rungs):
        return format_exact_duration(spec.rungs[index].at_s)
    return "its end" if spec.end_s is None else format_exact_duration(spec.end_s)


def _partial_text(share: float) -> str:
    if share == 1.0:
        return ""
    return f"the time was up after {format_share(share)} of its last validation: its loss is of that part alone"


def _sortable(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf
