"""How far a run is in its budget: work by its journal, charged time by its ledger."""

from __future__ import annotations

import time
from pathlib import Path

from bertd.daemon.metrics.run_metrics import JournalSummary, RunMetrics
from bertd.errors import DamagedLedgerError
from bertd.jobs.store.lifecycle import LIVE
from bertd.jobs.store.queue import Job
from bertd.run.budget import Budget
from bertd.run.ledger import LedgerState, boot_id, read_ledger
from bertd.run.paths import RunPaths
from bertd.run.recipe.schema import Recipe

_MAX_FINAL = 1_000


def current_budget(recipe: Recipe, summary: JournalSummary) -> Budget:
    """The recipe's budget as a run's orders changed it. Pure."""
    return summary.progress.budget_plan(recipe.granted).granted


class ChargedTime:
    """Reads what jobs were charged."""

    def __init__(self, run_metrics: RunMetrics) -> None:
        self._run_metrics = run_metrics
        self._boot = boot_id()
        self._final_s: dict[tuple[int, float | None], float] = {}
        """Of jobs that are over, by when that was: they are charged no more, and a list has many of them."""

    def charged_s(self, job: Job) -> float:
        """Seconds charged by now."""
        key = (job.id, job.ended_t)
        if key in self._final_s:
            return self._final_s[key]
        path = RunPaths(Path(job.folder)).ledger
        try:
            ledger = read_ledger(path)
        except DamagedLedgerError:
            # The journal's is older by a second at most; the next start makes the ledger anew from it and says so.
            return self._run_metrics.summary(job).progress.charged_s or 0.0
        if ledger == LedgerState():
            # None yet; or it is gone, which is as bad.
            return self._run_metrics.summary(job).progress.charged_s or 0.0
        if job.state not in LIVE:
            # A runner that was killed left its segment open; nothing has been charged since its last tick.
            if job.ended_t is not None:
                if len(self._final_s) >= _MAX_FINAL:
                    self._final_s.clear()
                self._final_s[key] = ledger.ticked_s
            return ledger.ticked_s
        return ledger.charged_s(monotonic_s=time.monotonic(), boot=self._boot)
