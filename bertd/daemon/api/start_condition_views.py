"""What the view of a single job has of the conditions for its start: the jobs it waits for, and its times."""

from __future__ import annotations

from bertd.api.models import DependencyView, JobView
from bertd.daemon.scheduling.conditions.dependencies import Dependencies
from bertd.daemon.scheduling.conditions.dependency_check import is_met
from bertd.jobs.store.database import Database
from bertd.jobs.store.queue import Job
from bertd.jobs.store.tables.start_times_table import StartTimesTable


class StartConditionViews:
    """Adds the conditions to views."""

    def __init__(self, database: Database, *, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._start_times = StartTimesTable(database)

    def with_conditions(self, view: JobView, job: Job) -> JobView:
        """The view with what the job waits for, or waited for."""
        after = [
            DependencyView(
                job_id=other.id,
                name=other.name,
                condition=dependency.condition,
                marker=dependency.marker,
                state=dependency.state,
                is_met=is_met(dependency, other),
            )
            for dependency, other in self._dependencies.of_job(job.id)
        ]
        times = self._start_times.of_job(job.id)
        only = None if times.only is None else str(times.only)
        return view.model_copy(update={"after": after, "begin_t": times.begin_t, "only": only})
