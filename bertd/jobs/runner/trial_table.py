"""The trials of a grid: which are over, which may begin, and which model those from MNLI start from. Pure.

Everything follows from the spec and from the journal's records, so a runner that continues after a crash decides as the
one before it would have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bertd.records import EndRecord, GridRecord, GridSpec, GridTrial, JournalRecord, ScoreRecord

_FINAL = ("diverged",)
"""Outcomes without a score that another attempt would have again."""


@dataclass(frozen=True)
class Verdict:
    """Why a trial ends before it began."""

    trial: GridTrial
    outcome: Literal["failed"]
    detail: str


class TrialTable:
    """Keeps the outcomes of the trials, and gives out those that may begin."""

    def __init__(self, spec: GridSpec, records: Iterable[JournalRecord]) -> None:
        """Read the outcomes in the grid's journal; what failed before its newest end is tried again."""
        self._spec = spec
        self.scored: dict[str, ScoreRecord] = {}
        """By trial."""
        self.unscored: dict[str, GridRecord] = {}
        """By trial: why it has no score, and will not be tried again by this runner."""
        self.pending: list[GridTrial] = []
        """Those that no worker has and that are not over, in the order in which they begin."""
        for record in records:
            if isinstance(record, EndRecord):
                self.unscored = {name: old for name, old in self.unscored.items() if old.outcome in _FINAL}
            elif isinstance(record, ScoreRecord) and record.trial is not None:
                self.add_score(record.trial, record)
            elif isinstance(record, GridRecord) and record.trial and record.outcome not in (None, "scored"):
                self.unscored[record.trial] = record
        self._base = [trial for trial in spec.trials if trial.task == "mnli" and trial.via is None]

    def queue_rest(self) -> None:
        """Queue all trials that are not over."""
        self.pending = [trial for trial in self._spec.trials if not self._is_over(trial)]

    def add_score(self, name: str, score: ScoreRecord) -> None:
        """Note the score of a trial."""
        self.scored[name] = score
        self.unscored.pop(name, None)

    def put_back(self, trial: GridTrial) -> None:
        """Queue a trial again, before the others."""
        self.pending.insert(0, trial)

    def take(self) -> GridTrial | None:
        """The next trial that may begin; None while each of those left waits for another one."""
        for index, trial in enumerate(self.pending):
            if all(map(self._is_over, self._needs(trial))):
                return self.pending.pop(index)
        return None

    def drop_hopeless(self) -> list[Verdict]:
        """Remove the trials that can never begin from those left, and say why."""
        verdicts = []
        for trial in [*self.pending]:
            if (detail := self._hopeless_reason(trial)) is not None:
                self.pending.remove(trial)
                verdicts.append(Verdict(trial, "failed", detail))
        return verdicts

    def model_trial(self) -> GridTrial | None:
        """The trial of MNLI whose model the trials from MNLI start from: the best on its development set, of equals
        the first; None before every one is over, or if none has a score."""
        if not all(map(self._is_over, self._base)):
            return None
        scored = [trial for trial in self._base if trial.name in self.scored]
        return max(scored, key=lambda trial: self.scored[trial.name].score, default=None)

    def beaten(self) -> list[GridTrial]:
        """The trials with a score of which another one, of the same task and the same start, has a better one; of
        equals all but the first."""
        best: dict[tuple[str, str | None], GridTrial] = {}
        scored = [trial for trial in self._spec.trials if trial.name in self.scored]
        for trial in scored:
            rival = best.setdefault((trial.task, trial.via), trial)
            if self.scored[trial.name].score > self.scored[rival.name].score:
                best[trial.task, trial.via] = trial
        return [trial for trial in scored if best[trial.task, trial.via] is not trial]

    @property
    def num_over(self) -> int:
        """Trials with and without a score."""
        return len(self.scored) + len(self.unscored)

    def _needs(self, trial: GridTrial) -> list[GridTrial]:
        """The trials that must be over before it may begin."""
        return self._base if trial.via is not None else []

    def _hopeless_reason(self, trial: GridTrial) -> str | None:
        needs = self._needs(trial)
        if not needs or not all(map(self._is_over, needs)):
            return None
        failed = [need.name for need in needs if need.name in self.unscored]
        failed = [name for name in failed if self.unscored[name].outcome == "failed"]
        if failed:
            return f"waits for {failed[0]}, which failed"
        return None if any(need.name in self.scored for need in needs) else "no trial of mnli has a score"

    def _is_over(self, trial: GridTrial) -> bool:
        return trial.name in self.scored or trial.name in self.unscored
