"""What `bertd doctor` found about a machine, and what to do about it."""

from __future__ import annotations

from enum import StrEnum

from bertd.records.record import Record


class Severity(StrEnum):
    """How bad a finding is."""

    FAULT = "fault"
    """Jobs fail, or something is lost."""
    SLOW = "slow"
    """It works, and costs time without a word."""
    NOTE = "note"
    """Worth knowing; also a check that could not be made."""
    OK = "ok"


class Finding(Record):
    """The result of one check."""

    check: str
    """What was looked at; stable, for scripts."""
    severity: Severity
    text: str
    """What is the case."""
    remedy: str = ""
    """What to do; empty if there is nothing to do."""
    cost: str = ""
    """What it costs as it is; empty where that is plain from the text."""

    @property
    def sentence(self) -> str:
        """Text, cost and remedy in one line."""
        return "; ".join(part for part in (self.text, self.cost, self.remedy) if part)
