"""Run a pretraining job: attempt after attempt until it ends, pauses, fails or is given up.

The ledger runs only while ranks work: back-off and hot pauses are not charged, nor is the time that processes take to
exit after their last record; lost steps stay charged.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import psutil

from bertd.errors import RunFolderError, StorageError
from bertd.jobs.runner.attempt_follower import AttemptFollower
from bertd.jobs.runner.budget_end import BudgetEnd, ExportCommand
from bertd.jobs.runner.child_process import StopSignal, run_child_process
from bertd.jobs.runner.commands_without_ranks import CommandsWithoutRanks
from bertd.jobs.runner.diagnostics import Diagnostics
from bertd.jobs.runner.exit_analysis import (
    Crash,
    classify_pretrain_exit,
    final_record,
    has_error_alert,
    outcome_of_giving_up,
)
from bertd.jobs.runner.exit_watch import ExitWatch
from bertd.jobs.runner.log_truncation import truncate_log
from bertd.jobs.runner.restart_policy import RestartPolicy
from bertd.jobs.runner.watchdog import HangTimeouts, Watchdog
from bertd.records import (
    AlertRecord,
    EndRecord,
    JobState,
    JournalRecord,
    Outcome,
    RestartRecord,
)
from bertd.run.job_energy import read_job_energy
from bertd.run.journal import append_records
from bertd.run.ledger import TICK_S, Ledger
from bertd.run.ledger_repair import repair_ledger
from bertd.run.log import log_line
from bertd.run.machine.processes import is_stopped, oom_kills, start_ticks
from bertd.run.paths import RunPaths, step_of
from bertd.run.ranks.heartbeat import HEARTBEAT_VARIABLE, HeartbeatBoard
from bertd.run.ranks.meeting import MEETING_VARIABLE, MeetingBoard
from bertd.run.ranks.rank_failures import FAILURES_VARIABLE, FailureBoard, RankFailure
from bertd.run.recipe.load import read_recipe

LaunchCommand = Callable[[RunPaths, int], list[str]]
"""Builds the command that runs the ranks of one attempt."""


class PretrainRunner:
    """Runs a pretraining from its start or resume to its outcome."""

    def __init__(
        self,
        paths: RunPaths,
        *,
        launch: LaunchCommand,
        export: ExportCommand,
        stop_signal: StopSignal,
        policy: RestartPolicy,
        timeouts: HangTimeouts,
    ) -> None:
        """Repair the ledger, and close a segment that a dead runner left open."""
        self._paths = paths
        self._launch = launch
        self._stop_signal = stop_signal
        repair_ledger(paths)
        self._ledger = Ledger(paths.ledger)
        self._follower = AttemptFollower(paths)
        self._commands = CommandsWithoutRanks(paths, follower=self._follower, ledger=self._ledger)
        self._budget_end = BudgetEnd(
            paths,
            follower=self._follower,
            ledger=self._ledger,
            commands=self._commands,
            export=export,
            stop_signal=stop_signal,
        )
        self._policy = replace(policy, best_step=self._follower.progress.best_step)
        self._has_warned = False
        self._timeouts = timeouts
        self._board = HeartbeatBoard()
        self._watchdog = self._new_watchdog()
        self._exit_watch = ExitWatch()
        self._hang_reason: str | None = None
        """Description of this attempt's ranks if they or their launcher were killed as hung."""
        self._is_cancelled = False
        """This attempt's ranks were killed before they began, because of a pause or stop command."""
        self._oom_kills = 0
        self._meeting: MeetingBoard | None = None
        """Of an attempt on several machines."""
        self._has_met = False
        self._is_journal_away = False

    def run(self) -> Outcome:
        """Run attempts until there is an outcome; a failure is written to the journal too."""
        while True:
            if (outcome := self._budget_end.end_without_ranks()) is not None:
                return outcome
            exit_code = self._run_attempt()
            if self._is_cancelled and (outcome := self._commands.apply()) is not None:
                return outcome
            verdict = classify_pretrain_exit(
                exit_code,
                list(self._follower.recent),
                shutdown_requested=self._stop_signal.is_set,
                oom_kills=oom_kills() - self._oom_kills,
            )
            if isinstance(verdict, Outcome):
                return self._finish(verdict)
            if self._hang_reason is not None:
                verdict = Crash(self._hang_reason)
            policy = self._policy.after_death(step=self._follower.progress.best_step, exit_class=verdict.exit_class)
            if policy is None:
                checkpoint, best_step = self._follower.newest_checkpoint(), self._policy.best_step
                given_up = outcome_of_giving_up(
                    verdict, exit_code=exit_code, checkpoint=checkpoint, best_step=best_step
                )
                return self._finish(given_up)
            self._policy = policy
            outcome = self._back_off(verdict)
            if outcome is not None:
                return outcome

    def _run_attempt(self) -> int:
        attempt = self._follower.begin_attempt()
        log_line(f"runner: attempt {attempt} begins")
        self._board.close()
        self._board = HeartbeatBoard()
        failures = FailureBoard()
        self._watchdog, self._exit_watch = self._new_watchdog(), ExitWatch()
        self._hang_reason, self._is_cancelled, self._has_met = None, False, False
        self._oom_kills = oom_kills()
        variables = {HEARTBEAT_VARIABLE: self._board.path, FAILURES_VARIABLE: failures.path}
        if read_recipe(self._paths.recipe).devices.nodes > 1:
            # Charged from the moment when the machines have met.
            self._meeting = MeetingBoard()
            variables[MEETING_VARIABLE] = self._meeting.path
        else:
            self._ledger.begin()
        try:
            command = self._launch(self._paths, attempt)
            exit_code = run_child_process(
                command, stop_signal=self._stop_signal, tick_s=TICK_S, on_tick=self._tick, variables=variables
            )
        finally:
            self._follower.follow()
            self._begin_after_meeting()
            self._apply_clock_marks()
            self._ledger.end()
            if self._meeting is not None:
                self._meeting.close()
                self._meeting = None
        self._record_first_failure(failures.first(exit_code=exit_code))
        failures.close()
        log_line(f"runner: attempt {attempt} ended with {exit_code} at step {self._follower.progress.step}")
        return exit_code

    def _record_first_failure(self, failure: RankFailure | None) -> None:
        """Write why the first rank failed to the journal, unless rank 0 has done so or the ranks were killed."""
        was_killed = self._hang_reason is not None or self._is_cancelled
        if failure is None or was_killed or has_error_alert(list(self._follower.recent)):
            return
        step, code, message = self._follower.progress.step, failure.code, failure.message
        try:
            self._write(AlertRecord(t=time.time(), step=step, level="error", code=code, message=message))
        except StorageError as error:
            log_line(f"runner: {error}; and it could not be written that {message}")
        self._follower.follow()

    def _tick(self, child: Popen[bytes]) -> None:
        if not self._paths.root.is_dir():
            log_line(f"runner: {self._paths.root}: the folder was removed; the ranks are killed")
            child.kill()
            return
        self._tick_ledger()
        truncate_log()
        if self._hang_reason is not None or self._is_cancelled:
            # Killed, but not dead yet.
            return
        if not self._follower.has_started and self._commands.is_end_requested():
            log_line("runner: a pause or stop was requested before the ranks had begun")
            self._is_cancelled = True
            child.kill()
            return
        now_s = time.monotonic()
        self._watchdog = self._watchdog.observe(self._board.read(), now_s=now_s)
        self._exit_watch = self._observe_exit(now_s=now_s)
        if (reason := self._exit_watch.overdue_reason(now_s=now_s)) is not None:
            log_line(f"runner: {reason}; killed")
            self._hang_reason = f"{reason}; it was killed"
            child.kill()
        elif self._watchdog.is_hung(now_s=now_s):
            stopped = [beat.pid for beat in self._watchdog.beats if is_stopped(beat.pid)]
            self._kill_hung_ranks(child, what=self._watchdog.describe(now_s=now_s, stopped=stopped))

    def _observe_exit(self, *, now_s: float) -> ExitWatch:
        beats = self._watchdog.beats
        are_gone = bool(beats) and all(start_ticks(beat.pid) is None for beat in beats)
        is_final = final_record(list(self._follower.recent)) is not None
        return self._exit_watch.observe(are_gone=are_gone, is_final=is_final, now_s=now_s)

    def _tick_ledger(self) -> None:
        # Read the clock before the journal: records that follow are about a later moment.
        now_s = time.monotonic()
        self._follow_journal()
        try:
            self._begin_after_meeting()
            self._apply_clock_marks()
            self._ledger.tick(monotonic_s=now_s)
        except StorageError as error:
            # The ranks read the open segment, which is unchanged; only after a crash would the charge be too low.
            if not self._has_warned:
                log_line(f"runner: {error}")
            self._has_warned = True

    def _follow_journal(self) -> None:
        """While the ranks train, a journal that cannot be read ends nothing: they write to the file they have open."""
        try:
            self._follower.follow()
            self._is_journal_away = False
        except RunFolderError as error:
            if not self._is_journal_away:
                log_line(f"runner: {error}; the ranks go on, and it is read once that works")
            self._is_journal_away = True

    def _begin_after_meeting(self) -> None:
        """Of several machines: charge from the moment when they had met."""
        if self._meeting is None or self._has_met:
            return
        if (met_s := self._meeting.read_met_s()) is not None:
            self._has_met = True
            self._ledger.begin(since_s=met_s)

    def _apply_clock_marks(self) -> None:
        """Stop and start the charge as rank 0 reported."""
        while self._follower.clock_marks:
            mark = self._follower.clock_marks[0]
            if mark.since_s is None:
                self._ledger.end(at_s=mark.charged_s)
            elif self._ledger.state.open_since_s is None:
                self._ledger.begin(since_s=mark.since_s)
            del self._follower.clock_marks[0]

    def _kill_hung_ranks(self, child: Popen[bytes], *, what: str) -> None:
        """Collect diagnostics of hung ranks and kill their launcher, which kills them."""

        def wait(seconds: float) -> None:
            time.sleep(seconds)
            self._tick_ledger()

        log_line(f"runner: {what}")
        diagnostics = Diagnostics(self._paths, attempt=self._follower.attempt, wait=wait)
        ranks = {process.pid for process in psutil.Process(child.pid).children(recursive=True)} | {child.pid}
        where = str(diagnostics.folder.relative_to(self._paths.root))
        try:
            diagnostics.gather(self._watchdog.beats, ranks=ranks)
        except StorageError as error:
            log_line(f"runner: {error}")
            where = "logs/job.log; the disk refused the other files"
        self._hang_reason = f"{what}; killed as hung, their stacks are in {where}"
        child.kill()

    def _new_watchdog(self) -> Watchdog:
        now_s = time.monotonic()
        return Watchdog(timeouts=self._timeouts, last_beat_s=now_s, last_look_s=now_s)

    def _back_off(self, crash: Crash) -> Outcome | None:
        """Wait before the next attempt; return the outcome if the run is paused or stopped meanwhile."""
        delay_s = self._policy.delay_s(jitter_share=random.random())
        checkpoint = self._follower.newest_checkpoint()
        self._write(
            RestartRecord(
                t=time.time(),
                step=self._follower.progress.step,
                attempt=self._follower.attempt + 1,
                cause=crash.cause,
                delay_s=round(delay_s, 3),
                from_step=step_of(Path(checkpoint)) if checkpoint else 0,
                charged_s=self._ledger.state.ticked_s,
                exit_class=crash.exit_class,
            )
        )
        log_line(f"runner: {crash.cause}; next attempt in {delay_s:.1f} s")
        deadline = time.monotonic() + delay_s
        while (left_s := deadline - time.monotonic()) > 0:
            self._stop_signal.wait(min(left_s, TICK_S))
            if self._stop_signal.is_set:
                return self._commands.record_pause("its runner was stopped between two attempts")
            outcome = self._commands.apply()
            if outcome is not None or self._commands.next() is not None:
                # The commands that are left need ranks: start the next attempt at once.
                return outcome
        return None

    def _finish(self, outcome: Outcome) -> Outcome:
        """Return the outcome; write a failure's end record if the ranks died before they wrote one."""
        has_end_record = any(isinstance(record, EndRecord) for record in self._follower.recent)
        if outcome.state is JobState.FAILED and not has_end_record:
            self._write(
                EndRecord(
                    t=time.time(),
                    step=self._follower.progress.step,
                    sequences=self._follower.progress.sequences,
                    charged_s=self._ledger.state.ticked_s,
                    reason="failed",
                    detail=outcome.reason,
                    energy=read_job_energy(self._paths),
                )
            )
        return outcome

    def _write(self, record: JournalRecord) -> None:
        """Append to the journal; between attempts the runner is its only writer."""
        append_records(self._paths.journal, [record])
