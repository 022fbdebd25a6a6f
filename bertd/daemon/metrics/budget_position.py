"""A run's position in its budget: work from its journal, charged time from its ledger."""

from __future__ import annotations

from pathlib import Path

from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.jobs.store.lifecycle import LIVE
from bertd.jobs.store.queue import Job
from bertd.run.ledger import charged_now
from bertd.run.paths import RunPaths

_MAX_FINAL = 1_000


class ChargedTime:
    """Reads how much time jobs were charged."""

    def __init__(self, run_metrics: RunMetrics) -> None:
        self._run_metrics = run_metrics
        self._final_s: dict[tuple[int, float | None], float] = {}
        """Of jobs that are over, by id and end: they are not charged any more, and a list has many of them."""

    def charged_s(self, job: Job) -> float:
        """Seconds charged so far."""
        key = (job.id, job.ended_t)
        if key in self._final_s:
            return self._final_s[key]
        charged_s = charged_now(
            RunPaths(Path(job.folder)).ledger,
            has_runner=job.state in LIVE,
            reported_s=self._run_metrics.summary(job).progress.charged_s or 0.0,
        )
        if job.ended_t is not None:
            if len(self._final_s) >= _MAX_FINAL:
                self._final_s.clear()
            self._final_s[key] = charged_s
        return charged_s
