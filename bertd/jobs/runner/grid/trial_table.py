"""The trials of a grid: which are over, which may begin, and which model those from MNLI start from. Pure.

Everything follows from the spec and from the journal's records, so a runner that continues after a crash decides as the
one before it would have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bertd.records import EndRecord, GridRecord, GridSpec, GridTrial, JournalRecord, ScoreRecord
from bertd.run.amounts.quantities import format_count
from bertd.run.grid.finetune_halving import surviving_settings

_FINAL = ("diverged", "dropped")
"""Outcomes without a score that another attempt would have again."""


@dataclass(frozen=True)
class Verdict:
    """Why a trial ends before it began."""

    trial: GridTrial
    outcome: Literal["failed", "dropped"]
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
        self._rivals: dict[tuple[str, str | None], list[GridTrial]] = {}
        """By task and start."""
        for trial in spec.trials:
            self._rivals.setdefault((trial.task, trial.via), []).append(trial)
        self._base = [trial for trial in spec.trials if trial.task == "mnli" and trial.via is None]
        self._needs = {trial.name: self._find_needs(trial) for trial in spec.trials}
        self._before = {trial.name: self._find_before(trial) for trial in spec.trials}

    def queue_rest(self) -> None:
        """Queue all trials that are not over."""
        self.pending = [trial for trial in self._spec.trials if not self._is_over(trial)]

    def add_score(self, name: str, score: ScoreRecord) -> None:
        """Note the score of a trial."""
        self.scored[name] = score
        self.unscored.pop(name, None)

    def forget(self, trial: GridTrial) -> None:
        """Drop the score of a trial, which then is run again."""
        del self.scored[trial.name]

    @property
    def needs_model(self) -> bool:
        """Whether a trial that starts from the model of another task has no score and may still get one."""
        return any(
            trial.via is not None
            and trial.name not in self.scored
            and (trial.name not in self.unscored or self.unscored[trial.name].outcome == "failed")
            for trial in self._spec.trials
        )

    def put_back(self, trial: GridTrial) -> None:
        """Queue a trial again, before the others."""
        self.pending.insert(0, trial)

    def take(self) -> GridTrial | None:
        """The next trial that may begin; None while each of those left waits for another one."""
        for index, trial in enumerate(self.pending):
            if all(map(self._is_over, self._needs[trial.name])):
                return self.pending.pop(index)
        return None

    def end_hopeless(self) -> list[Verdict]:
        """Remove the trials that can never begin from those left, and say why."""
        verdicts = []
        for trial in [*self.pending]:
            verdict = self._judge(trial)
            if verdict is not None:
                self.pending.remove(trial)
                verdicts.append(verdict)
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

    def _find_needs(self, trial: GridTrial) -> list[GridTrial]:
        """The trials that must be over before it may begin."""
        return [*(self._base if trial.via is not None else []), *self._find_before(trial)]

    def _find_before(self, trial: GridTrial) -> list[GridTrial]:
        """Where beaten settings are dropped: the trials of its task and start with earlier seeds."""
        if not self._spec.is_halving:
            return []
        rivals = self._rivals[trial.task, trial.via]
        return [rival for rival in rivals if rival.seed < trial.seed]

    def _judge(self, trial: GridTrial) -> Verdict | None:
        """Why a trial can never begin; None if it may, or if that is not known yet."""
        if (dropped := self._drop_reason(trial)) is not None:
            return Verdict(trial, "dropped", dropped)
        needs = self._needs[trial.name]
        if not needs or not all(map(self._is_over, needs)):
            return None
        outcomes = {need.name: self.unscored[need.name].outcome for need in needs if need.name in self.unscored}
        if failed := [name for name, outcome in outcomes.items() if outcome == "failed"]:
            return Verdict(trial, "failed", f"waits for {failed[0]}, which failed")
        if trial.via is not None and not any(base.name in self.scored for base in self._base):
            return Verdict(trial, "failed", f"no trial of {trial.via} has a score")
        return None

    def _drop_reason(self, trial: GridTrial) -> str | None:
        """Why halving does not run a trial; None if it may still."""
        if not (before := self._before[trial.name]) or any(self._has_failed(other) for other in before):
            return None
        rivals = self._rivals[trial.task, trial.via]
        seeds = sorted({rival.seed for rival in rivals})
        scores: dict[_Setting, list[float | None]] = {_setting(rival): [None] * len(seeds) for rival in rivals}
        for rival in rivals:
            if rival.name in self.scored:
                scores[_setting(rival)][seeds.index(rival.seed)] = self.scored[rival.name].score
        for rung in range(1, seeds.index(trial.seed) + 1):
            if not all(self._is_over(other) for other in before if other.seed < seeds[rung]):
                return None
            left = surviving_settings(scores, rung=rung)
            if _setting(trial) not in left:
                return f"beaten after {format_count(rung, 'seed')}; the best {len(left)} of {len(scores)} continue"
        return None

    def _has_failed(self, trial: GridTrial) -> bool:
        return trial.name in self.unscored and self.unscored[trial.name].outcome == "failed"

    def _is_over(self, trial: GridTrial) -> bool:
        return trial.name in self.scored or trial.name in self.unscored


_Setting = tuple[float, int, int]


def _setting(trial: GridTrial) -> _Setting:
    return trial.lr, trial.batch_size, trial.epochs
