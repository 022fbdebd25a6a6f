"""What `bertd report --json` prints."""

from __future__ import annotations

from bertd.records import Record


class ReportAnswer(Record):
    """A report that was written."""

    file: str
    """Its absolute path."""
    runs: list[str]
    """The runs in it."""
