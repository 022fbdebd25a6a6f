"""What the view of a single job of kind command has beside its row: the argv, and the exit status. No environment."""

from __future__ import annotations

import logging
from pathlib import Path

from bertd.api.models import JobView
from bertd.errors import BertdError
from bertd.jobs.runner.command_job_runner import read_command_job_spec
from bertd.jobs.runner.run_job import read_outcome
from bertd.jobs.store.lifecycle import ENDED
from bertd.jobs.store.queue import Job
from bertd.run.paths import JobPaths

logger = logging.getLogger(__name__)


def with_command(view: JobView, job: Job) -> JobView:
    """The view with what the job's folder says about its command; without it where the folder is damaged or gone."""
    paths = JobPaths(Path(job.folder))
    try:
        argv = read_command_job_spec(paths.command_spec).argv
        outcome = read_outcome(paths) if job.state in ENDED else None
    except BertdError as error:
        logger.warning("job %d is shown without its command: %s", job.id, error)
        return view
    return view.model_copy(update={"argv": argv, "exit_status": None if outcome is None else outcome.exit_code})
