"""Build the API's views of sweeps, from rows and stored summaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bertd.api.sweep_models import SettingView, SweepView
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.sweeps.rung_decisions import rank_settings
from bertd.jobs.store.queue import Queue
from bertd.jobs.store.tables.sweep_table import SettingRow, Sweep, SweepTable
from bertd.run.paths import StatePaths
from bertd.run.recipe.sweep_grid import setting_values
from bertd.run.recipe.sweep_rungs import most_charged_s


class SweepViews:
    """Builds the views of sweeps."""

    def __init__(self, paths: StatePaths, *, queue: Queue, table: SweepTable, run_metrics: RunMetrics) -> None:
        self._paths = paths
        self._queue = queue
        self._table = table
        self._run_metrics = run_metrics

    def sweeps(self) -> Iterator[SweepView]:
        """Every sweep, newest first, without its settings."""
        return (self.sweep(sweep).model_copy(update={"settings": []}) for sweep in self._table.all())

    def sweep(self, sweep: Sweep) -> SweepView:
        """One sweep with its settings."""
        rows = self._table.settings(sweep.id)
        ranks = {row.number: rank for rank, row in enumerate(rank_settings(rows), start=1)}
        values = setting_values(sweep.spec)
        settings = [self._setting(row, values[row.number - 1], rank=ranks.get(row.number)) for row in rows]
        paths, spec = self._paths.sweep(sweep.folder_name), sweep.spec
        most_s = None if spec.end_s is None else most_charged_s(spec, num_settings=len(rows), end_s=spec.end_s)
        return SweepView(
            id=sweep.id,
            name=spec.name,
            state=sweep.state,
            reason=sweep.reason,
            folder=str(paths.root),
            recipe_name=sweep.recipe_name,
            group=sweep.group_name or None,
            rungs=spec.rungs,
            end_s=spec.end_s,
            num_settings=len(rows),
            num_by_state=dict(Counter(row.state for row in rows)),
            charged_s=sum(setting.charged_s for setting in settings),
            max_charged_s=most_s,
            winner=sweep.winner,
            winner_recipe=None if sweep.winner is None else str(paths.winner),
            created_t=sweep.created_t,
            ended_t=sweep.ended_t,
            settings=settings,
        )

    def _setting(self, row: SettingRow, values: dict[str, str], *, rank: int | None) -> SettingView:
        job = None if row.job_id is None else self._queue.get(row.job_id)
        charged_s = None if job is None else self._run_metrics.summary(job).progress.charged_s
        return SettingView(
            number=row.number,
            values=values,
            state=row.state,
            reason=row.reason,
            rank=rank,
            losses=[*row.losses],
            charged_s=charged_s or 0.0,
            job_id=row.job_id,
            run_id=None if job is None else job.run_id,
            job_state=None if job is None else job.state,
            job_reason=None if job is None else job.reason,
        )
