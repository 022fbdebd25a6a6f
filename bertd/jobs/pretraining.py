"""A pretraining under its runner: attempt after attempt until it ends, pauses, fails for good or is given up.

The ledger runs while ranks work and at no other time: back-off and holds are not charged, nor is what the processes
take to exit behind their last word; lost steps stay charged.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from subprocess import Popen

import psutil

from bertd.errors import StorageError
from bertd.jobs.compute import EndSignal, run_compute
from bertd.jobs.diagnostics import Diagnostics
from bertd.jobs.log_cap import cap_log
from bertd.jobs.processes import is_stopped, oom_kills
from bertd.jobs.restart_policy import RestartPolicy
from bertd.jobs.run_story import RunStory
from bertd.jobs.unheard import settle_mailbox
from bertd.jobs.verdict import Crash, judge_pretraining, outcome_of_giving_up
from bertd.jobs.watchdog import Patience, Watchdog
from bertd.records import (
    Command,
    CommandRecord,
    EndRecord,
    JobState,
    JournalRecord,
    Outcome,
    RestartRecord,
    StateRecord,
    Verb,
)
from bertd.run.beats import BEATS_VARIABLE, Board
from bertd.run.job_log import say
from bertd.run.journal import JournalWriter
from bertd.run.ledger import TICK_S, Ledger
from bertd.run.ledger_repair import mend_ledger
from bertd.run.mailbox import commands_behind, read_command
from bertd.run.paths import STEP_FOLDER, RunPaths

Launch = Callable[[RunPaths, int], list[str]]
"""The command that runs the ranks of one attempt."""

_ENDS = frozenset({Verb.PAUSE, Verb.HOLD, Verb.STOP})
"""Orders that are obeyed while there are no ranks, or as soon as there are some."""


class Pretraining:
    """One life of a pretraining, from its start or resume to its outcome."""

    def __init__(
        self, paths: RunPaths, *, launch: Launch, end: EndSignal, policy: RestartPolicy, patience: Patience
    ) -> None:
        """Close what a dead runner left open."""
        self._paths = paths
        self._launch = launch
        self._end = end
        mend_ledger(paths)
        self._ledger = Ledger(paths.ledger)
        self._story = RunStory(paths)
        self._policy = replace(policy, best_step=self._story.best_step)
        self._has_warned = False
        self._patience = patience
        self._board = Board()
        self._watchdog = self._new_watchdog()
        self._hang: str | None = None
        """What was seen of this attempt's ranks when they were killed as hung."""
        self._is_called_off = False
        """This attempt's ranks were killed before they began, because nobody wants them any more."""
        self._oom_kills = 0

    def run(self) -> Outcome:
        """Until there is an outcome; failed ones are in the journal too."""
        while True:
            exit_code = self._attempt()
            if self._is_called_off and (outcome := self._obey()) is not None:
                return outcome
            verdict = judge_pretraining(
                exit_code,
                list(self._story.recent),
                told_to_end=self._end.is_set,
                oom_kills=oom_kills() - self._oom_kills,
            )
            if isinstance(verdict, Outcome):
                return self._concluded(verdict)
            if self._hang is not None:
                verdict = Crash(self._hang)
            policy = self._policy.after_death(step=self._story.best_step, exit_class=verdict.exit_class)
            if policy is None:
                checkpoint, best_step = self._story.newest_checkpoint(), self._policy.best_step
                given_up = outcome_of_giving_up(
                    verdict, exit_code=exit_code, checkpoint=checkpoint, best_step=best_step
                )
                return self._concluded(given_up)
            self._policy = policy
            outcome = self._back_off(verdict)
            if outcome is not None:
                return outcome

    def _attempt(self) -> int:
        attempt = self._story.begin_attempt()
        say(f"runner: attempt {attempt} begins")
        self._board.close()
        self._board = Board()
        self._watchdog = self._new_watchdog()
        self._hang, self._is_called_off = None, False
        self._oom_kills = oom_kills()
        self._ledger.begin()
        try:
            command = self._launch(self._paths, attempt)
            variables = {BEATS_VARIABLE: self._board.path}
            exit_code = run_compute(command, end=self._end, tick_s=TICK_S, on_tick=self._tick, variables=variables)
        finally:
            self._story.follow()
            self._heed_clock()
            self._ledger.end()
        say(f"runner: attempt {attempt} ended with {exit_code} at step {self._story.step}")
        return exit_code

    def _tick(self, child: Popen[bytes]) -> None:
        self._tick_ledger()
        cap_log()
        if self._hang is not None or self._is_called_off:
            # Killed, and not quite dead yet.
            return
        if not self._story.has_started and self._is_unwanted():
            say("runner: a person asked for an end before the ranks had begun")
            self._is_called_off = True
            child.kill()
            return
        now_s = time.monotonic()
        self._watchdog = self._watchdog.seen(self._board.read(), now_s=now_s)
        if self._watchdog.is_hung(now_s=now_s):
            stopped = [beat.pid for beat in self._watchdog.beats if is_stopped(beat.pid)]
            self._end_hang(child, what=self._watchdog.describe(now_s=now_s, stopped=stopped))

    def _tick_ledger(self) -> None:
        # Read before the journal is: what rank 0 says from here on is about a later moment.
        now_s = time.monotonic()
        self._story.follow()
        try:
            self._heed_clock()
            self._ledger.tick(monotonic_s=now_s)
        except StorageError as error:
            # The ranks read the open segment, which stands; only a crash from here on would be charged short.
            if not self._has_warned:
                say(f"runner: {error}")
            self._has_warned = True

    def _heed_clock(self) -> None:
        """Stop and start the charge where rank 0 said so."""
        while self._story.clock_marks:
            mark = self._story.clock_marks[0]
            if mark.since_s is None:
                self._ledger.end(at_s=mark.charged_s)
            elif self._ledger.state.open_since_s is None:
                self._ledger.begin(since_s=mark.since_s)
            del self._story.clock_marks[0]

    def _end_hang(self, child: Popen[bytes], *, what: str) -> None:
        """Keep what can be seen of ranks that hang, and kill them; their launcher's death is theirs."""

        def wait(seconds: float) -> None:
            time.sleep(seconds)
            self._tick_ledger()

        say(f"runner: {what}")
        diagnostics = Diagnostics(self._paths, attempt=self._story.attempt, wait=wait)
        ranks = {process.pid for process in psutil.Process(child.pid).children(recursive=True)} | {child.pid}
        where = str(diagnostics.folder.relative_to(self._paths.root))
        try:
            diagnostics.gather(self._watchdog.beats, ranks=ranks)
        except StorageError as error:
            say(f"runner: {error}")
            where = "logs/job.log; the disk refused the rest"
        self._hang = f"{what}; killed as hung, their stacks are in {where}"
        child.kill()

    def _new_watchdog(self) -> Watchdog:
        now_s = time.monotonic()
        return Watchdog(patience=self._patience, beat_at_s=now_s, looked_at_s=now_s)

    def _back_off(self, crash: Crash) -> Outcome | None:
        """Wait before the next attempt; the outcome where the run is paused meanwhile."""
        delay_s = self._policy.delay_s(chance=random.random())
        checkpoint = self._story.newest_checkpoint()
        match = STEP_FOLDER.match(checkpoint) if checkpoint else None
        self._write(
            RestartRecord(
                t=time.time(),
                step=self._story.step,
                attempt=self._story.attempt + 1,
                cause=crash.cause,
                delay_s=round(delay_s, 3),
                from_step=int(match[1]) if match else 0,
                charged_s=self._ledger.state.ticked_s,
                exit_class=crash.exit_class,
            )
        )
        say(f"runner: {crash.cause}; next attempt in {delay_s:.1f} s")
        deadline = time.monotonic() + delay_s
        while (left_s := deadline - time.monotonic()) > 0:
            self._end.wait(min(left_s, TICK_S))
            if self._end.is_set:
                return self._paused("its runner was told to end between two attempts")
            outcome = self._obey()
            if outcome is not None or self._next_command() is not None:
                # What is left in the mailbox takes ranks, and should not wait for them longer than it must.
                return outcome
        return None

    # ---- Orders, while there are no ranks ------------------------------------------------------------

    def _next_command(self) -> Command | None:
        return read_command(self._paths.control, number=self._story.acknowledged + 1)

    def _is_unwanted(self) -> bool:
        """Whether the mailbox asks for what needs no ranks: a pause, or an end without anything to export."""
        for command in commands_behind(self._paths.control, number=self._story.acknowledged):
            if command.verb is Verb.PAUSE:
                return True
            if command.verb is Verb.STOP:
                # The ranks end at it, whatever lies behind.
                return self._story.newest_checkpoint() is None
        return False

    def _obey(self) -> Outcome | None:
        """Answer the mailbox; the outcome where it asks for one. An end that shall export is left to the ranks."""
        if self._next_command() is None:
            return None
        checkpoint = self._story.newest_checkpoint()
        detail = f"it has no ranks at the moment; its newest checkpoint is {checkpoint or 'none'}"
        settle_mailbox(self._paths, kept=_ENDS, detail=detail, now=time.time())
        self._story.follow()
        command = self._next_command()
        if command is None:
            return None
        if command.verb is Verb.STOP:
            if checkpoint is not None:
                return None
            self._acknowledge(command, detail="there is nothing to export")
            reason = "a person stopped it before it had a checkpoint; nothing was exported"
            return Outcome(state=JobState.CANCELLED, reason=reason, exit_code=0)
        no_memory = "; no ranks had memory to keep, so it is paused cold" if command.verb is Verb.HOLD else ""
        outcome = self._paused(f"a person asked for it while it had no ranks{no_memory}")
        self._acknowledge(command, detail=outcome.reason)
        return outcome

    def _acknowledge(self, command: Command, *, detail: str) -> None:
        self._write(
            CommandRecord(
                t=time.time(),
                step=self._story.step,
                number=command.number,
                verb=command.verb,
                outcome="done",
                detail=detail,
            )
        )

    def _paused(self, reason: str) -> Outcome:
        self._write(
            StateRecord(
                t=time.time(),
                step=self._story.step,
                charged_s=self._ledger.state.ticked_s,
                state=JobState.PAUSED,
                reason=reason,
            )
        )
        return Outcome(state=JobState.PAUSED, reason=reason, exit_code=0)

    def _concluded(self, outcome: Outcome) -> Outcome:
        """The outcome, with an end in the journal where the ranks did not live to write it."""
        is_told = any(isinstance(record, EndRecord) for record in self._story.recent)
        if outcome.state is JobState.FAILED and not is_told:
            self._write(
                EndRecord(
                    t=time.time(),
                    step=self._story.step,
                    sequences=self._story.sequences,
                    charged_s=self._ledger.state.ticked_s,
                    reason="failed",
                    detail=outcome.reason,
                )
            )
        return outcome

    def _write(self, record: JournalRecord) -> None:
        """Append to the journal, whose writer the runner is between attempts."""
        journal = JournalWriter(self._paths.journal)
        try:
            journal.append(record)
        finally:
            journal.close()
