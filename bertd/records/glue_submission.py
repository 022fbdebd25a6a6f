"""What `bertd glue submit` asks of the program bertd.glue.submission.submit."""

from __future__ import annotations

from bertd.records.record import Record


class ChosenModel(Record):
    """The model whose answers are submitted for a task."""

    task: str
    folder: str
    """Absolute path of the kept model."""
    description: str
    """The setting, the seed and the score on the development set, for people."""


class SubmissionRequest(Record):
    """What to write."""

    data_dir: str
    """Absolute path of a folder in GLUE's TSV layout, or of a copy of nyu-mll/glue."""
    out: str
    """Absolute path of the zip."""
    is_partial: bool
    """Whether a zip without some of the leaderboard's files is written."""
    models: list[ChosenModel]
    gaps: dict[str, str]
    """By task: why it has no model, and the command that makes it."""
