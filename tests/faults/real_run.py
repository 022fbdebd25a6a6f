"""A pretraining of a tiny model by real ranks under a real runner, for faults that need both.

python -m tests.faults.real_run RUN_FOLDER pretrain      the runner, with a given patience and shorter waits
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import torch
from safetensors.torch import load_file

from bertd.jobs.runner.__main__ import main
from bertd.jobs.runner.restart_policy import RestartPolicy
from bertd.jobs.runner.run_job import RunnerConfig
from bertd.jobs.runner.watchdog import HangTimeouts
from bertd.records import CheckpointRecord, JobKind, JournalRecord, Outcome, StartRecord, StepRecord
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths, newest_first
from bertd.run.ranks.heartbeat import HeartbeatRecord
from bertd.run.recipe.load import format_recipe, parse_recipe
from tests.jobs.runner_box import with_tests_on_path
from tests.waiting import PATIENCE_S, wait_for

_STEP_PATIENCE = "BERTD_TEST_STEP_PATIENCE_S"
BATCH = 8
RECIPE = """
[run]
name = "tiny"
[budget]
steps = {steps}
[data]
shards = "{shards}"
sequence_length = 32
[model]
layers = 2
width = 32
heads = 2
ffn = 64
[optimizer]
peak_lr = 5e-3
[batch]
sequences = {batch}
micro = 4
[validation]
max_sequences = 16
[checkpoint]
every = "1s"
[devices]
kind = "cpu"
count = {count}
"""


def recipe(dataset: Path, *, steps: int, count: int) -> str:
    """Steps of some ten milliseconds, a checkpoint every second."""
    return RECIPE.format(shards=dataset, steps=steps, batch=BATCH, count=count)


class RealRun:
    """One run folder, and its runner as a process."""

    def __init__(self, folder: Path, dataset: Path, *, steps: int, count: int) -> None:
        """Make the folder."""
        self.paths = RunPaths(folder)
        self.paths.logs.mkdir(parents=True)
        self.paths.control.mkdir()
        text = recipe(dataset, steps=steps, count=count)
        self.paths.recipe.write_text(format_recipe(parse_recipe(text, name="tiny")))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, step_patience_s: float = PATIENCE_S) -> None:
        """Start the runner on the folder as it is; it takes ranks for hanging after `step_patience_s`."""
        self.paths.outcome.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.faults.real_run", str(self.paths.root), JobKind.PRETRAIN]
        with self.paths.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=with_tests_on_path() | {_STEP_PATIENCE: str(step_patience_s)},
            )

    def outcome(self) -> Outcome:
        """Wait for the end, however long it takes while the journal grows."""
        assert self.process is not None
        exit_code, num_records = None, -1
        while exit_code is None:
            assert len(self.records) > num_records, f"no record in {PATIENCE_S:g} s; log:\n{self.log}"
            num_records = len(self.records)
            try:
                exit_code = self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                continue
        assert exit_code == 0, self.log
        return Outcome.model_validate_json(self.paths.outcome.read_bytes())

    def ranks(self) -> list[psutil.Process]:
        """The processes that train."""
        assert self.process is not None
        try:
            below = psutil.Process(self.process.pid).children(recursive=True)
            return [each for each in below if "bertd.train.distributed.worker" in each.cmdline()]
        except psutil.NoSuchProcess:
            return []

    def wait_for_steps(self, *, attempt: int, steps: int) -> None:
        """Wait until an attempt has reported this many steps; it reports one a second."""

        def are_done() -> bool:
            assert self.process is not None and self.process.poll() is None, self.log
            kinds = [record.kind for record in self.records if record.kind in ("start", "step")]
            starts = [place for place, kind in enumerate(kinds) if kind == "start"]
            return len(starts) >= attempt and len(kinds) - 1 - starts[attempt - 1] >= steps

        wait_for(are_done, what=f"{steps} steps of attempt {attempt}; log:\n{self.log}")

    def wait_for_progress(self, *, attempt: int) -> int:
        """Wait for an attempt's checkpoint above all steps reported by earlier attempts; return its step."""

        def has_got_on() -> bool:
            assert self.process is not None and self.process.poll() is None, self.log
            return _progress(self.records, attempt=attempt) > 0

        wait_for(has_got_on, what=f"progress of attempt {attempt}; log:\n{self.log}")
        return _progress(self.records, attempt=attempt)

    def heartbeat_steps(self) -> int:
        """Steps done according to the ranks' heartbeats, which no disk can refuse."""
        assert self.process is not None and self.process.poll() is None, self.log
        fds = Path(f"/proc/{self.process.pid}/fd").iterdir()
        board = next(fd for fd in fds if "bertd-beats" in str(fd.readlink()))
        return HeartbeatRecord.model_validate_json(board.read_bytes().splitlines()[0]).step

    @property
    def records(self) -> list[JournalRecord]:
        """The journal."""
        return read_journal(self.paths.journal)

    @property
    def log(self) -> str:
        return self.paths.log.read_text(errors="replace")

    def weights(self) -> dict[str, torch.Tensor]:
        """Weights of the newest checkpoint."""
        loaded: dict[str, torch.Tensor] = load_file(newest_first(self.paths.checkpoints)[0] / "model.safetensors")
        return loaded

    def kill(self) -> None:
        """Kill the runner if it is still alive."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _progress(records: list[JournalRecord], *, attempt: int) -> int:
    """Step of an attempt's newest checkpoint; 0 if it has none above the steps done before it."""
    begun = past = newest = saved = 0
    for record in records:
        if isinstance(record, StartRecord):
            begun, past, saved = begun + 1, newest, 0
        elif isinstance(record, StepRecord):
            newest = max(newest, record.step)
        elif isinstance(record, CheckpointRecord):
            newest, saved = max(newest, record.step), record.step
    return saved if begun == attempt and saved > past else 0


if __name__ == "__main__":
    timeouts = HangTimeouts(compile_s=PATIENCE_S, step_s=float(os.environ[_STEP_PATIENCE]))
    policy = RestartPolicy(prompt_delay_s=0.05, first_delay_s=0.05)
    sys.exit(main(sys.argv[1:], config=RunnerConfig(policy=policy, timeouts=timeouts)))
