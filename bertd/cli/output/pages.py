"""What each reading subcommand prints, in the style of standard output, as of now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bertd.cli.output.device_table import device_table, foreign_lines, health_lines, machine_line
from bertd.cli.output.tables import detect_output_style
from bertd.cli.output.views import job_text, jobs_text, status_text

if TYPE_CHECKING:
    from bertd.api.models import JobView, RunView, ScoreView, StatusView


def status_page(status: StatusView) -> str:
    """Of `bertd status`."""
    return status_text(status, now=time.time(), style=detect_output_style())


def jobs_page(jobs: Sequence[JobView], *, nothing: str = "No job yet.") -> str:
    """Of `bertd jobs`; `nothing` where there is none."""
    return jobs_text(jobs, now=time.time(), style=detect_output_style()) if jobs else nothing


def devices_page(status: StatusView) -> str:
    """Of `bertd devices`."""
    devices = status.devices
    lines = [device_table(devices, style=detect_output_style()), *health_lines(devices), *foreign_lines(devices)]
    # A daemon of an earlier version does not say it.
    return "\n".join([*lines, *([] if status.machine is None else [machine_line(status.machine)])])


def job_page(job: JobView, run: RunView | None, scores: Sequence[ScoreView]) -> str:
    """Of `bertd show`, with those of all `scores` that are of this job, or of its run."""
    own = scores_of(job, run, scores)
    return job_text(job, run, own, now=time.time(), style=detect_output_style())


def scores_of(job: JobView, run: RunView | None, scores: Sequence[ScoreView]) -> list[ScoreView]:
    """The scores of a finetuning, or of all finetunings of a run."""
    return [score for score in scores if job.id == score.job_id or (run and score.run_id == run.id)]
