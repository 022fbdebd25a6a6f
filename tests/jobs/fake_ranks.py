"""Fake ranks of a pretraining: the same contract, without a model.

    python -m tests.jobs.fake_ranks RUN_FOLDER --attempt N --plan PLAN.json

It reads recipe, ledger and checkpoints, writes the same journal, and reads the same mailbox and signals. The plan says
how it dies; a step takes a few milliseconds.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Literal

from pydantic import BaseModel

from bertd.records import (
    AlertRecord,
    BudgetRecord,
    CheckpointRecord,
    Command,
    CommandKind,
    CommandRecord,
    EndRecord,
    ExportRecord,
    JobState,
    StartRecord,
    StateRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.budget import RunPosition, answer_budget_command
from bertd.run.journal import JournalWriter
from bertd.run.journal_digest import read_progress
from bertd.run.ledger import ChargedClock
from bertd.run.mailbox import read_command
from bertd.run.paths import RunPaths, newest_first, step_folder_name, step_of
from bertd.run.pause_mark import read_pause_mark
from bertd.run.ranks.heartbeat import DUMP_STACKS_SIGNAL, HEARTBEAT_VARIABLE, Heartbeat, Phase
from bertd.run.ranks.rank_failures import FAILURES_VARIABLE, report_failure
from bertd.run.recipe.load import read_recipe


class Death(BaseModel):
    """At which step and how one attempt dies."""

    at_step: int
    """-1: before it starts."""
    exit_code: int = 0
    signal: int = 0
    alert: str = ""
    reports: dict[int, str] = {}
    """What ranks put on the runner's board of failures, by rank, in this order."""


class Plan(BaseModel):
    """What the fake does; the recipe's budget of steps ends it."""

    deaths: dict[int, Death] = {}
    """Deaths by attempt."""
    every_attempt: Death | None = None
    checkpoint_every: int = 5
    step_s: float = 0.001
    hold_at: int = -1
    """Step at which it waits, still reading commands, until the file `go` is next to the plan."""
    ignores_orders: bool = False
    freeze_at: dict[int, int] = {}
    """Attempt to the step at which it hangs, stopped by a signal."""
    keeps_gil: bool = False
    """Hang in a C call with the GIL held instead."""
    patience_s: float = 600.0
    """The runner's limits on silence."""
    grace_s: float = 600.0
    """Of a job of kind command: from SIGTERM to SIGKILL."""
    orphan: bool = False
    """Leave a child process behind, in its own session."""
    export_exit_code: int = 0
    """Of the export without ranks; 0 makes one."""
    memory_bytes: int | None = None
    """What steps report."""
    tracker: list[str] = []
    """Command that feeds a tracker; the real one without it."""
    has_deaf_launcher: bool = False
    """Run below a launcher that never notices the end of its ranks."""


class FakeRanks:
    """One attempt."""

    last_validation_share = 1.0

    def __init__(self, paths: RunPaths, *, attempt: int, plan: Plan, gate: Path) -> None:
        self.paths = paths
        self.gate = gate
        self.plan = plan
        self.attempt = attempt
        self.recipe = read_recipe(paths.recipe)
        self.clock = ChargedClock(paths.ledger)
        self.death = plan.deaths.get(attempt, plan.every_attempt)
        self.told = threading.Event()
        progress = read_progress(paths.journal)
        self.acknowledged = progress.acknowledged
        self.recipe = self.recipe.with_budget(progress.budget_plan(self.recipe.granted).granted.amount)
        found = newest_first(paths.checkpoints)
        self.step = step_of(found[0]) if found else 0
        self.journal = JournalWriter(paths.journal)
        self.heartbeat = Heartbeat(os.environ.get(HEARTBEAT_VARIABLE), rank=0)

    @property
    def sequences(self) -> int:
        return self.step * self.recipe.batch.sequences

    @property
    def validation_loss(self) -> float:
        """In proportion to the peak rate, so that runs differ: 5.0 at the default."""
        return 2500 * self.recipe.optimizer.peak_lr

    def run(self) -> int:
        """Train until the budget, a command, a signal or the plan ends it."""
        signal.signal(signal.SIGTERM, self._note)
        faulthandler.register(DUMP_STACKS_SIGNAL, all_threads=True)
        self.heartbeat.beat(Phase.START, step=0)
        self._die_if_planned(-1)
        self._start()
        while True:
            self._die_if_planned(self.step)
            self.heartbeat.beat(Phase.STEP, step=self.step)
            if self.step == self.plan.freeze_at.get(self.attempt):
                self._hang()
            if self.is_spent():
                return self._end("budget", "the budget is spent")
            command = (
                None if self.plan.ignores_orders else read_command(self.paths.control, number=self.acknowledged + 1)
            )
            if command is not None:
                self.acknowledged = command.number
                if command.verb is CommandKind.CHECKPOINT:
                    self._checkpoint("command")
                    self._acknowledge(command.number, command.verb)
                elif command.verb is CommandKind.STOP:
                    return self._end("stopped", f"requested by {command.asked_by}", answers=command)
                elif command.verb in (CommandKind.SUSPEND, CommandKind.RESUME):
                    self._suspend(command.verb is CommandKind.SUSPEND)
                    self._acknowledge(command.number, command.verb)
                elif command.verb is CommandKind.ALERT:
                    self.journal.append(AlertRecord.asked(command, t=time.time(), step=self.step))
                elif command.budget is not None:
                    self._set_budget(command)
                else:
                    return self._pause(f"requested by {command.asked_by}", answers=command)
            if self.told.is_set() and not self.plan.ignores_orders:
                return self._pause("bertd was told to stop")
            if self.is_at_mark():
                return self._pause_at_mark()
            if self.clock.is_suspended or self.step == self.plan.hold_at and not self.gate.exists():
                self.told.wait(0.01)
            else:
                self._train()

    def is_spent(self) -> bool:
        """Whether the budget is."""
        granted = self.recipe.granted
        return granted.progress(charged_s=self.clock.now_s(), steps=self.step, sequences=self.sequences) >= 1.0

    def is_at_mark(self) -> bool:
        """Whether it is to validate and pause by itself."""
        mark = read_pause_mark(self.paths.pause_mark)
        return mark is not None and self.clock.now_s() >= mark and self.step > 0

    def _pause_at_mark(self) -> int:
        self._validate()
        return self._pause("reached its mark")

    def _hang(self) -> None:
        if self.plan.keeps_gil:
            # No thread of this process can run Python code meanwhile.
            ctypes.PyDLL(None).sleep(3600)
        os.kill(os.getpid(), signal.SIGSTOP)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.told.set()

    def _train(self) -> None:
        self.told.wait(self.plan.step_s)
        self.step += 1
        charged_s = self.clock.now_s()
        self.journal.append(
            StepRecord(
                memory_bytes=self.plan.memory_bytes,
                t=time.time(),
                step=self.step,
                sequences=self.sequences,
                charged_s=charged_s,
                progress=self.recipe.granted.progress(charged_s=charged_s, steps=self.step, sequences=self.sequences),
                loss=9.0 / (1 + self.step / 100),
                lr=1e-3,
                grad_norm=1.0,
                sequences_per_s=1000.0,
                tokens_per_s=128_000.0,
            )
        )
        if self.step % self.plan.checkpoint_every == 0:
            self._checkpoint("interval")

    def _start(self) -> None:
        if self.plan.orphan and os.fork() == 0:
            os.setsid()
            signal.pause()
        # Before the time, so that no second of a stall between the two is charged and not in the time.
        charged_s = self.clock.now_s()
        self.journal.append(
            StartRecord(
                t=time.time(),
                attempt=self.attempt,
                step=self.step,
                sequences=self.sequences,
                charged_s=charged_s,
                world_size=self.recipe.devices.count,
                device="cpu",
                device_name="fake",
                precision="fp32",
                kernels="eager",
                kernels_reason="a fake",
                num_parameters=1000,
                micro_batch=1,
                accumulation=1,
                sequence_length=128,
                train_sequences=1000,
                validation_sequences=10,
            )
        )

    def _checkpoint(self, why: str) -> None:
        name = step_folder_name(self.step)
        (self.paths.checkpoints / name).mkdir(parents=True, exist_ok=True)
        self.journal.append(
            CheckpointRecord(
                t=time.time(),
                step=self.step,
                charged_s=self.clock.now_s(),
                name=name,
                size_bytes=1000,
                seconds=0.001,
                stall_s=0.001,
                why=why,
            )
        )

    def _acknowledge(self, number: int, verb: CommandKind, *, outcome: Literal["done", "refused"] = "done") -> None:
        self.journal.append(
            CommandRecord(t=time.time(), step=self.step, number=number, verb=verb, outcome=outcome, detail=outcome)
        )

    def _suspend(self, is_suspended: bool) -> None:
        since_s = None
        if is_suspended:
            self.clock.suspend()
        elif self.clock.is_suspended:
            since_s = self.clock.resume()
        self.journal.append(
            StateRecord(
                t=time.time(),
                step=self.step,
                charged_s=self.clock.now_s(),
                state=JobState.PAUSED if is_suspended else JobState.RUNNING,
                reason="requested by a person" if is_suspended else "continues",
                is_hot=is_suspended,
                monotonic_s=since_s,
            )
        )

    def _set_budget(self, command: Command) -> None:
        position = RunPosition(t=time.time(), step=self.step, sequences=self.sequences, charged_s=self.clock.now_s())
        for record in answer_budget_command(command, self.recipe.granted, position=position):
            self.journal.append(record)
            if isinstance(record, BudgetRecord):
                self.recipe = self.recipe.with_budget(record.after)

    def _pause(self, reason: str, *, answers: Command | None = None) -> int:
        self._checkpoint("pause")
        self.journal.append(
            StateRecord(
                t=time.time(), step=self.step, charged_s=self.clock.now_s(), state=JobState.PAUSED, reason=reason
            )
        )
        if answers is not None:
            self._acknowledge(answers.number, answers.verb)
        self.journal.close()
        return 0

    def _end(self, reason: Literal["budget", "stopped"], detail: str, *, answers: Command | None = None) -> int:
        self._checkpoint("end")
        self._validate(share=self.last_validation_share)
        self._export()
        self.journal.append(
            EndRecord(
                t=time.time(),
                step=self.step,
                sequences=self.sequences,
                charged_s=self.clock.now_s(),
                reason=reason,
                detail=detail,
                lr=0.0,
                validation_loss=self.validation_loss,
                validation_share=self.last_validation_share,
                export=step_folder_name(self.step),
            )
        )
        if answers is not None:
            self._acknowledge(answers.number, answers.verb)
        self.journal.close()
        return 0

    def _validate(self, *, share: float = 1.0) -> None:
        self.journal.append(
            ValidationRecord(
                t=time.time(),
                step=self.step,
                sequences=self.sequences,
                charged_s=self.clock.now_s(),
                progress=1.0,
                loss=self.validation_loss,
                num_tokens=100,
                unigram_loss=6.0,
                unigram_entropy=6.0,
                seconds=0.001,
                share=share,
            )
        )

    def _export(self) -> None:
        export = self.paths.exports / step_folder_name(self.step)
        export.mkdir(parents=True, exist_ok=True)
        (export / "config.json").write_text("{}")
        for name in ("model.safetensors", "tokenizer.json"):
            (export / name).touch()
        self.journal.append(
            ExportRecord(
                t=time.time(),
                step=self.step,
                charged_s=self.clock.now_s(),
                name=export.name,
                architecture="MegatronBertForMaskedLM",
                seconds=0.001,
            )
        )

    def _die_if_planned(self, step: int) -> None:
        death = self.death
        if death is None or step < death.at_step:
            return
        if death.alert:
            self.journal.append(
                AlertRecord(t=time.time(), step=self.step, level="error", code="planned", message=death.alert)
            )
        for rank, message in death.reports.items():
            code = "ShardError" if death.exit_code > 1 else "RuntimeError"
            board = os.environ[FAILURES_VARIABLE]
            report_failure(board, rank=rank, exit_code=death.exit_code, code=code, message=message)
        if death.signal:
            os.kill(os.getpid(), death.signal)
        sys.exit(death.exit_code)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    parser.add_argument("--plan", type=Path, required=True)
    given = parser.parse_args()
    plan = Plan.model_validate_json(given.plan.read_bytes())
    if plan.has_deaf_launcher and os.fork():
        # The launcher: it neither reaps its child nor exits.
        while True:
            signal.pause()
    gate = given.plan.with_name("go")
    return FakeRanks(RunPaths(given.folder), attempt=given.attempt, plan=plan, gate=gate).run()


if __name__ == "__main__":
    sys.exit(main())
