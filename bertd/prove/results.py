"""What a proof found: written by its steps, each its own file, and put together by the parent as proof.json.

OUT/steps/NAME.json    StepFindings, written again whole after each finding of the step
OUT/proof.json         Proof, written again whole after each step
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from bertd.records.record import Record
from bertd.run.atomic_files import SHARED_MODE, atomic_write

PROOF_FORMAT = 1


class Verdict(StrEnum):
    """What came of a check, a step or a goal."""

    PASS = "pass"
    FAIL = "fail"
    SKIPPED = "skipped"


class Check(Record):
    """Something that is right or wrong."""

    name: str
    verdict: Verdict
    detail: str
    """What was compared and how far it was off, or why it was skipped."""


class Figure(Record):
    """Something that was measured."""

    key: str
    """Stable, for goals.py and for programs: `comparison.ratio`."""
    name: str
    """For people."""
    value: float
    unit: str
    detail: str = ""
    """Spread, clocks, sizes."""


class StepFindings(Record):
    """What a step has found so far."""

    checks: list[Check] = []
    figures: list[Figure] = []
    facts: dict[str, str] = {}
    """Versions, names, settings."""
    is_finished: bool = False
    """Whether the step came to its end."""
    skipped_reason: str | None = None
    """Why all of it was skipped."""
    stops_proof: str | None = None
    """Why no later step can say anything; None where they can."""


class StepResult(Record):
    """A step as the parent saw it."""

    name: str
    title: str
    verdict: Verdict
    reason: str
    """Why it failed or was skipped; empty where it passed."""
    seconds: float
    limit_s: float
    findings: StepFindings
    log_tail: list[str] = []
    """Last lines of its log, where it failed."""


class GoalResult(Record):
    """A goal of the project, and what was measured here."""

    name: str
    goal: str
    verdict: Verdict
    value: float | None
    unit: str
    detail: str


class Proof(Record):
    """Content of proof.json."""

    format: int = PROOF_FORMAT
    bertd: str
    commit: str
    """Of the checkout, with `+changes` where files differ from it; empty without one."""
    began: str
    """UTC, ISO 8601."""
    device: str
    """cuda or cpu."""
    device_name: str
    is_tiny: bool
    minutes: float
    is_complete: bool
    """Whether all steps had their turn; false while it runs, and in what was interrupted."""
    steps: list[StepResult]
    goals: list[GoalResult]

    @property
    def facts(self) -> dict[str, str]:
        """Of all steps."""
        return {name: value for step in self.steps for name, value in step.findings.facts.items()}

    def figure(self, key: str) -> Figure | None:
        """The figure of that key; None where it was not measured."""
        figures = [figure for step in self.steps for figure in step.findings.figures]
        return next((figure for figure in figures if figure.key == key), None)

    @property
    def is_passed(self) -> bool:
        """Whether nothing failed, goals not counted: those say how fast, not whether it is right."""
        verdicts = [step.verdict for step in self.steps]
        return self.is_complete and Verdict.FAIL not in verdicts


def read_findings(path: Path) -> StepFindings:
    """What a step left; nothing where it left nothing."""
    try:
        return StepFindings.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return StepFindings()


def write_findings(path: Path, findings: StepFindings) -> None:
    """Replace a step's file.

    Raises:
        StorageError: the disk refused.
    """
    atomic_write(path, findings.model_dump_json(indent=1) + "\n", mode=SHARED_MODE)
