"""What `bertd show --json` prints."""

from __future__ import annotations

from bertd.api.models import JobView, RunView, ScoreView
from bertd.records import Record


class JobDetails(Record):
    """What `bertd show` prints about one job."""

    job: JobView
    run: RunView | None
    """Only for a pretraining."""
    scores: list[ScoreView]
    """Those of a finetuning, or of all finetunings of a run."""
