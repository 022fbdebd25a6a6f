"""The scores of one export, for commands that are about one and not about a table of all."""

from __future__ import annotations

import re
from pathlib import Path

from bertd.api.client import Client
from bertd.api.models import ScoreView
from bertd.errors import CheckpointError
from bertd.run.paths import JobPaths, step_folder_name

_RUN_AT_STEP = re.compile(r"(.+)@(\d+)")


def find_scores(client: Client, name: str) -> list[ScoreView]:
    """The scores of an export.

    Args:
        client: of the daemon.
        name: the export as `bertd scores` names it, a run that has scores of one export alone, or RUN@STEP.

    Raises:
        CheckpointError: the export has no score, or the run has scores of several exports.
        ClientError: there is no such run.
    """
    sources = {name, str(Path(name).absolute())}
    if views := [view for view in client.scores() if view.score.source in sources]:
        return views
    match = _RUN_AT_STEP.fullmatch(name)
    views = client.scores(name if match is None else match[1])
    if match is not None:
        views = [view for view in views if Path(view.score.source).name == step_folder_name(int(match[2]))]
    found = list(dict.fromkeys(view.score.source for view in views))
    if not found:
        raise CheckpointError(
            f"{name}: has no score yet; get some with `bertd finetune {name} --tasks all --preset fair --data FOLDER`"
        )
    if len(found) > 1:
        listed = ", ".join(found[:5]) + ", ..." * (len(found) > 5)
        raise CheckpointError(f"{name}: has scores of {len(found)} exports; name one of them: {listed}")
    return views


class JobFolders:
    """The folders of the finetunings that scores are of; each job is asked for once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._by_job: dict[int, JobPaths] = {}

    def of_job(self, view: ScoreView) -> JobPaths:
        """That of a job, also of a grid."""
        if view.job_id not in self._by_job:
            self._by_job[view.job_id] = JobPaths(Path(self._client.job(view.job_id).folder))
        return self._by_job[view.job_id]

    def of(self, view: ScoreView) -> JobPaths:
        """That of a job, or of its grid's trial."""
        job = self.of_job(view)
        return job if view.score.trial is None else job.trial(view.score.trial)
