"""What ended jobs leave on the disk, as text: a row for each job, and the sum."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from bertd.api.models import GarbageView
from bertd.cli.output.tables import OutputStyle, format_table
from bertd.run.amounts.quantities import format_bytes


def garbage_table(garbage: Sequence[GarbageView], *, is_deleted: bool, style: OutputStyle) -> str:
    """One line per job and kind, and what they take together."""
    if not garbage:
        return "nothing was deleted" if is_deleted else "ended jobs have nothing on the disk that is not needed"
    rows: list[list[str]] = []
    for (job, run_id, what), group in groupby(garbage, key=lambda each: (each.job_id, each.run_id, each.what)):
        of_job = [*group]
        size = format_bytes(sum(each.size_bytes for each in of_job))
        rows.append([str(job), run_id, f"{len(of_job)} x {what}", size])
    total = format_bytes(sum(each.size_bytes for each in garbage))
    table = format_table(["JOB", "RUN", "WHAT", "SIZE"], rows, right={0, 3}, style=style, shrink={1: 12})
    return f"{table}\n\n{total} {'was freed' if is_deleted else 'would be freed'}"
