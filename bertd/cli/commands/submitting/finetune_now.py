"""`bertd finetune --now`: say what a pretraining is paused for and what that costs, and ask."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from bertd.cli.options import print_json

if TYPE_CHECKING:
    from bertd.api.client import Client
    from bertd.api.models import LendEstimateView, SubmitFinetune, SubmitGrid


def confirm_lend(
    client: Client, request: SubmitFinetune | SubmitGrid, *, is_sure: bool, dry_run: bool, json: bool
) -> bool:
    """Whether to submit it, after the cost was shown and a person has agreed.

    With --json nobody is asked and nothing but the job is printed.

    Raises:
        BadParameter: nobody can be asked.
        Exit: the answer was no.
    """
    if json and not dry_run:
        return True
    estimate = client.estimate_lend(request)
    if dry_run and json:
        print_json(estimate)
        return False
    print(lend_text(estimate))
    if dry_run:
        print("nothing was queued; submit it without --dry-run")
        return False
    if estimate.run_job_id is None or is_sure:
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise typer.BadParameter("it pauses a pretraining: give --yes where nobody can be asked", param_hint="--now")
    if not typer.confirm("Pause it for this?"):
        raise typer.Exit(0)
    return True


def lend_text(estimate: LendEstimateView) -> str:
    """What is paused, what that is charged, and how long it takes; for a person."""
    from bertd.run.amounts.durations import format_duration
    from bertd.run.amounts.quantities import format_count
    from bertd.terminal_text import terminal_line

    if estimate.run_job_id is None:
        return "no pretraining has to be paused; the job is queued as any other"
    name = f"job {estimate.run_job_id} ({terminal_line(estimate.run_id or '')})"
    if estimate.lend is not None:
        first = f"{name} is paused for lend {estimate.lend} already, which this joins; it continues when all are over"
    else:
        how = "is paused hot and keeps its memory" if estimate.is_hot else "saves and is paused"
        first = f"{name} {how}, and continues by itself when this is over"
    wall = "unknown: nothing like it was measured" if estimate.wall_s is None else _about(estimate.wall_s)
    lines = [
        first,
        f"charged to it: {_cost_text(estimate)}",
        f"time until it continues: {wall}, on {format_count(estimate.num_devices, 'device')}",
    ]
    if estimate.remaining_s is not None:
        lines.append(f"left to train: {format_duration(estimate.remaining_s)} of its budget")
    return "\n".join(lines)


def _cost_text(estimate: LendEstimateView) -> str:
    if estimate.charged_s == 0:
        return "nothing"
    parts = ((estimate.save_s, "to save"), (estimate.start_s, "to start again"))
    texts = [f"{'an unknown time' if seconds is None else f'{seconds:.1f} s'} {what}" for seconds, what in parts]
    measured = "as measured on this run" if estimate.charged_s is not None else "not all of it is measured yet"
    return f"about {' and '.join(texts)}, {measured}"


def _about(seconds: float) -> str:
    from bertd.run.amounts.durations import format_duration

    return f"about {format_duration(seconds)}"
