"""A pretraining under its runner: attempt after attempt until it ends, pauses, fails for good or is given up.

The ledger runs while ranks run and at no other time: back-off is not charged, lost steps stay charged.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from subprocess import Popen

from bertd.errors import StorageError
from bertd.jobs.compute import EndSignal, run_compute
from bertd.jobs.log_cap import cap_log
from bertd.jobs.restart_policy import MAX_RESTARTS, RestartPolicy
from bertd.jobs.run_story import RunStory
from bertd.jobs.verdict import Crash, judge_pretraining
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
from bertd.run.durations import format_duration
from bertd.run.journal import JournalWriter
from bertd.run.ledger import TICK_S, Ledger
from bertd.run.mailbox import read_command
from bertd.run.paths import STEP_FOLDER, RunPaths

Launch = Callable[[RunPaths, int], list[str]]
"""The command that runs the ranks of one attempt."""


class Pretraining:
    """One life of a pretraining, from its start or resume to its outcome."""

    def __init__(
        self, paths: RunPaths, *, launch: Launch, end: EndSignal, policy: RestartPolicy, patience: Patience
    ) -> None:
        """Close what a dead runner left open."""
        self._paths = paths
        self._launch = launch
        self._end = end
        self._ledger = Ledger(paths.ledger)
        self._story = RunStory(paths)
        self._policy = RestartPolicy(
            first_delay_s=policy.first_delay_s,
            longest_delay_s=policy.longest_delay_s,
            best_step=self._story.best_step,
        )
        self._has_warned = False
        self._patience = patience
        self._watchdog = self._new_watchdog()
        self._hung_s: float | None = None
        """How long the ranks of this attempt had been silent when they were killed for it."""

    def run(self) -> Outcome:
        """Until there is an outcome; failed ones are in the journal too."""
        while True:
            exit_code = self._attempt()
            verdict = judge_pretraining(exit_code, list(self._story.recent), told_to_end=self._end.is_set)
            if isinstance(verdict, Outcome):
                return self._concluded(verdict)
            if self._hung_s is not None:
                silence = format_duration(self._hung_s)
                verdict = Crash(f"the ranks said nothing for {silence} and were killed as hung; see logs/job.log")
            policy = self._policy.after_death(step=self._story.best_step)
            if policy is None:
                return self._concluded(self._given_up(verdict, exit_code=exit_code))
            self._policy = policy
            outcome = self._back_off(verdict)
            if outcome is not None:
                return outcome

    def _attempt(self) -> int:
        attempt = self._story.begin_attempt()
        print(f"runner: attempt {attempt} begins", flush=True)
        self._watchdog = self._new_watchdog()
        self._hung_s = None
        self._ledger.begin()
        try:
            command = self._launch(self._paths, attempt)
            exit_code = run_compute(command, end=self._end, tick_s=TICK_S, on_tick=self._tick)
        finally:
            self._ledger.end()
        self._story.follow()
        print(f"runner: attempt {attempt} ended with {exit_code} at step {self._story.step}", flush=True)
        return exit_code

    def _tick(self, child: Popen[bytes]) -> None:
        try:
            self._ledger.tick()
        except StorageError as error:
            # The ranks read the open segment, which stands; only a crash from here on would be charged short.
            if not self._has_warned:
                print(f"runner: {error}", flush=True)
            self._has_warned = True
        cap_log(self._paths.log)
        self._watch(child)

    def _watch(self, child: Popen[bytes]) -> None:
        """Kill ranks that hang; their launcher's death is theirs."""
        now_s = time.monotonic()
        self._story.follow()
        self._watchdog = self._watchdog.seen(
            num_records=self._story.num_records, has_stepped=self._story.has_stepped, now_s=now_s
        )
        if self._watchdog.is_hung(now_s=now_s):
            self._hung_s = now_s - self._watchdog.beat_at_s
            child.kill()

    def _new_watchdog(self) -> Watchdog:
        return Watchdog(patience=self._patience, beat_at_s=time.monotonic(), num_records=self._story.num_records)

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
            )
        )
        print(f"runner: {crash.cause}; next attempt in {delay_s:.1f} s", flush=True)
        deadline = time.monotonic() + delay_s
        while (left_s := deadline - time.monotonic()) > 0:
            self._end.wait(min(left_s, TICK_S))
            if self._end.is_set:
                return self._paused("its runner was told to end between two attempts")
            command = read_command(self._paths.control, number=self._story.acknowledged + 1)
            if command is not None and command.verb is Verb.PAUSE:
                self._acknowledge(command, detail="paused between two attempts")
                return self._paused("a person asked for it, between two attempts")
            if command is not None and command.verb is Verb.STOP and checkpoint is None:
                self._acknowledge(command, detail="there is nothing to export")
                reason = "a person stopped it before it had a checkpoint; nothing was exported"
                return Outcome(state=JobState.CANCELLED, reason=reason, exit_code=0)
        return None

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

    def _given_up(self, crash: Crash, *, exit_code: int) -> Outcome:
        checkpoint = self._story.newest_checkpoint()
        last = f"last checkpoint: {checkpoint}" if checkpoint else "there is no checkpoint"
        return Outcome(
            state=JobState.FAILED,
            reason=(
                f"{crash.cause}; given up after {MAX_RESTARTS} restarts without a step above "
                f"{self._policy.best_step}; {last}; mend the cause and resume it"
            ),
            exit_code=exit_code if exit_code > 0 else 1,
        )

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
