"""End a timed run that has no time for another start: export its newest checkpoint, without ranks and without charge.

A start is charged. Where the rest of the budget, less what the end of a run needs, is shorter than the run's last
start, new ranks could not train one step, and would overspend the budget by their start.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bertd.errors import RunFolderError
from bertd.jobs.runner.attempt_follower import AttemptFollower
from bertd.jobs.runner.child_process import StopSignal, run_child_process
from bertd.jobs.runner.commands_without_ranks import CommandsWithoutRanks
from bertd.jobs.runner.exit_analysis import outcome_of_end
from bertd.jobs.runner.log_truncation import truncate_log
from bertd.records import EndRecord, ExportRecord, JobState, Outcome
from bertd.run.amounts.durations import format_duration
from bertd.run.budget import find_time_left
from bertd.run.checkpoint_index import read_checkpoint_index
from bertd.run.job_energy import read_job_energy
from bertd.run.journal import append_records
from bertd.run.ledger import TICK_S, Ledger
from bertd.run.log import log_line
from bertd.run.paths import RunPaths, newest_first, step_of
from bertd.run.recipe.load import read_recipe

ExportCommand = Callable[[RunPaths], list[str]]
"""Builds the command that exports a run's newest checkpoint into its exports."""


def export_newest(paths: RunPaths) -> list[str]:
    """The command that exports a run's newest checkpoint."""
    return [sys.executable, "-m", "bertd.train.checkpoint.export_checkpoint", str(paths.root)]


class BudgetEnd:
    """Ends a run before an attempt for which it has no time."""

    def __init__(
        self,
        paths: RunPaths,
        *,
        follower: AttemptFollower,
        ledger: Ledger,
        commands: CommandsWithoutRanks,
        export: ExportCommand,
        stop_signal: StopSignal,
    ) -> None:
        self._paths = paths
        self._follower = follower
        self._ledger = ledger
        self._commands = commands
        self._export = export
        self._stop_signal = stop_signal

    def end_without_ranks(self) -> Outcome | None:
        """End a timed run that has no time for another start; None if it has time, or has no checkpoint.

        Raises:
            RecipeError: the recipe is gone.
            RunFolderError: the journal or the export cannot be read.
            StorageError: the disk refused.
        """
        if not self._find_shortage():
            return None
        # A budget in the mailbox may give it time, and a pause comes before the end.
        outcome = self._commands.apply()
        shortage = self._find_shortage()
        if outcome is not None or not shortage:
            return outcome
        log_line(f"runner: {shortage}; exports without ranks")
        began_s = time.monotonic()
        exit_code = self._export_newest()
        if exit_code and self._stop_signal.is_set:
            return self._commands.record_pause("its runner was stopped during the export at its end")
        if exit_code:
            reason = f"{shortage}; its export failed with exit code {exit_code}: last log lines in logs/job.log"
            return Outcome(state=JobState.FAILED, reason=f"{reason}; fix the cause and resume it", exit_code=exit_code)
        return self._record_end(shortage, export_s=time.monotonic() - began_s)

    def _find_shortage(self) -> str:
        """Why it cannot train another step, as text; empty if it can."""
        progress = self._follower.progress
        if progress.saved_step is None or self._follower.newest_checkpoint() is None:
            return ""
        granted = progress.budget_plan(read_recipe(self._paths.recipe).granted).granted
        charged_s, reserve_s = self._ledger.state.ticked_s, progress.reserve_s or 0.0
        time_left = find_time_left(granted, charged_s=charged_s, reserve_s=reserve_s)
        start_s = progress.startup_s or 0.0
        if time_left is None or time_left.training_s > start_s:
            return ""
        left_s = max(0.0, time_left.training_s + time_left.reserve_s)
        return (
            f"the budget is spent: {format_duration(left_s)} of it were left, and to start again takes about "
            f"{format_duration(start_s)}"
        )

    def _export_newest(self) -> int:
        """Export the newest checkpoint, unless that was done before; return the exit code."""
        if _newest_export(self._paths).exists():
            return 0
        command = self._export(self._paths)
        return run_child_process(
            command, stop_signal=self._stop_signal, tick_s=TICK_S, on_tick=lambda child: truncate_log()
        )

    def _record_end(self, shortage: str, *, export_s: float) -> Outcome:
        """Write the last records, and answer a stop."""
        command = self._commands.next()
        export, progress = _newest_export(self._paths), self._follower.progress
        step, charged_s = step_of(export), self._ledger.state.ticked_s
        # After a crash the newest step is later than the checkpoint.
        saved_sequences = progress.saved_sequences if progress.saved_step == step else None
        end = EndRecord(
            t=time.time(),
            step=step,
            sequences=progress.sequences if saved_sequences is None else saved_sequences,
            charged_s=charged_s,
            reason="budget" if command is None else "stopped",
            detail=f"{shortage}; the checkpoint of step {step} is exported",
            validation_loss=_read_validation_loss(self._paths, checkpoint=export.name),
            export=export.name,
            energy=read_job_energy(self._paths),
        )
        written = ExportRecord(
            t=end.t,
            step=step,
            charged_s=charged_s,
            name=export.name,
            architecture=_read_architecture(export),
            seconds=export_s,
        )
        append_records(self._paths.journal, [written, end])
        if command is not None:
            self._commands.acknowledge(command, detail=end.detail)
        return outcome_of_end(end)


def _newest_export(paths: RunPaths) -> Path:
    return paths.exports / newest_first(paths.checkpoints)[0].name


def _read_architecture(export: Path) -> str:
    try:
        (name,) = json.loads((export / "config.json").read_bytes())["architectures"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{export}: not an export ({error!r}); delete it, and resume the run") from error
    return str(name)


def _read_validation_loss(paths: RunPaths, *, checkpoint: str) -> float | None:
    try:
        kept = read_checkpoint_index(paths).checkpoints
    except RunFolderError:
        # The next save would have written it again; it has nothing that the end of a run needs.
        return None
    return next((each.validation_loss for each in kept if each.name == checkpoint), None)
