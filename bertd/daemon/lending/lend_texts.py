"""Word what a lend does and has cost. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bertd.jobs.store.queue import Job
from bertd.jobs.store.tables.lend_table import Lend, LendJob
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.local_times import format_local_time


def name_jobs(jobs: Sequence[Job] | Sequence[LendJob]) -> str:
    """The jobs by number, and by name where that is known."""
    names = [f"{job.id} ({job.name})" if isinstance(job, Job) else str(job.job_id) for job in jobs]
    return f"job{'s' * (len(names) > 1)} {', '.join(names)}"


def describe_paused(run: Job, jobs: Sequence[Job], *, hot: bool, return_t: float | None, now: float) -> str:
    """Why a run is paused, and until when."""
    when = "" if return_t is None else f", about {format_local_time(return_t, now=now)}"
    kept = "hot: keeps its memory, and " if hot else ""
    back = f"`bertd resume {run.id}` ends that at once"
    over = "that is" if len(jobs) == 1 else "they are"
    return f"{kept}lent its devices to {name_jobs(jobs)}; continues by itself when {over} over{when}; {back}"


def describe_end(lend: Lend, *, start_s: float | None, reason: str, now: float) -> str:
    """What a lend took, and what it has cost."""
    wall = format_duration(max(0.0, now - lend.created_t))
    jobs = name_jobs(lend.jobs)
    if lend.is_hot:
        return f"over after {wall} for {jobs}; paused hot, so nothing was charged: {reason}"
    parts = [(lend.save_s, "to save"), (start_s, "to start again")]
    known = [f"{seconds:.1f} s {what}" for seconds, what in parts if seconds is not None]
    charged = f"charged {' and '.join(known)}" if known else "what it cost was not measured"
    return f"over after {wall} for {jobs}; {charged}: {reason}"
