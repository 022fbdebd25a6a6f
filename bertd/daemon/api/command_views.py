"""What the view of a job that is one program has beside its row: argv, exit status, progress, result.

Never its environment.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from bertd.api.models import JobView
from bertd.daemon.process.journal_log import log_fields
from bertd.errors import BertdError
from bertd.jobs.runner.command_job_runner import read_command_job_spec
from bertd.jobs.runner.run_job import read_outcome
from bertd.jobs.store.lifecycle import ENDED
from bertd.jobs.store.queue import Job
from bertd.records import Evaluation, JobKind, JobState
from bertd.run.bounded_read import read_bounded
from bertd.run.job_report import read_progress_share
from bertd.run.paths import JobPaths

logger = logging.getLogger(__name__)


def with_program(view: JobView, job: Job) -> JobView:
    """The view with what the job's folder says about its program; without it where the folder is damaged or gone."""
    paths = JobPaths(Path(job.folder))
    try:
        argv = read_command_job_spec(paths.command_spec).argv
        outcome = read_outcome(paths) if job.state in ENDED else None
    except BertdError as error:
        logger.warning("job %d is shown without its command: %s", job.id, error, extra=log_fields(job.id, job.run_id))
        return view
    return view.model_copy(
        update={
            "argv": argv,
            "exit_status": None if outcome is None else outcome.exit_code,
            "evaluation": _read_evaluation(paths) if _is_evaluated(job) else None,
        }
    )


def program_progress(job: Job) -> float | None:
    """How far the program of a job is; None for a person's own, and before it has said so."""
    if job.kind is JobKind.COMMAND:
        return None
    if job.state is JobState.DONE:
        return 1.0
    return read_progress_share(JobPaths(Path(job.folder))) if job.state is JobState.RUNNING else None


def _is_evaluated(job: Job) -> bool:
    return job.kind is JobKind.EVALUATE and job.state is JobState.DONE


def _read_evaluation(paths: JobPaths) -> Evaluation | None:
    try:
        return Evaluation.model_validate_json(read_bounded(paths.result))
    except (OSError, ValidationError) as error:
        logger.warning("%s: is shown without its evaluation: %s", paths.root, error)
        return None
