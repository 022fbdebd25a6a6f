"""One run folder and the real runner over fake ranks, as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bertd.records import CommandKind, FinetuneSpec, GridSpec, JobKind, Keep, Outcome, Preset, RunnerIdentity, Via
from bertd.run.grid.finetune_grid import make_trials
from bertd.run.journal import read_journal
from bertd.run.ledger import LedgerState, read_ledger
from bertd.run.mailbox import post
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import format_recipe, parse_recipe
from tests.jobs.fake_ranks import Plan
from tests.waiting import PATIENCE_S, wait_for

ROOT = Path(__file__).parents[2]
RECIPE = """
[run]
name = "fake"
[budget]
steps = {steps}
[data]
shards = "{shards}"
[batch]
sequences = 32
micro = 16
[devices]
kind = "cpu"
count = {count}
"""


def recipe_text(*, steps: int = 20, shards: str = "/nowhere", count: int = 1) -> str:
    """A small recipe."""
    return RECIPE.format(steps=steps, shards=shards, count=count)


def with_tests_on_path() -> dict[str, str]:
    """The environment in which `python -m tests...` works from any folder."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


class RunnerBox:
    """Starts, steers and inspects a runner in a test."""

    def __init__(self, folder: Path) -> None:
        self.paths = RunPaths(folder / "1-fake")
        self.plan_path = folder / "plan.json"
        self.paths.logs.mkdir(parents=True)
        self.paths.control.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, plan: Plan | None = None, *, steps: int = 20, kind: JobKind = JobKind.PRETRAIN) -> None:
        """Start the runner on the folder as it is."""
        self.plan_path.write_text((plan or Plan()).model_dump_json())
        if not self.paths.recipe.exists():
            self.paths.recipe.write_text(format_recipe(parse_recipe(recipe_text(steps=steps), name="fake")))
        self.paths.outcome.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.jobs.fake_runner", str(self.plan_path), str(self.paths.root), kind]
        with self.paths.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=with_tests_on_path(), cwd=self.paths.root
            )

    def start_finetuning(self, task: str) -> None:
        """Start a finetuning; the fake's task decides what happens."""
        spec = FinetuneSpec(task=task, data_dir="/data", source="/export", source_name="1-fake/step-000000001")
        self.paths.finetune_spec.write_text(spec.model_dump_json())
        self.start(kind=JobKind.FINETUNE)

    def write_grid(
        self, *tasks: str, num_workers: int = 2, num_seeds: int = 1, via: Via | None = None, keep: Keep = Keep.NOTHING
    ) -> None:
        """Write the spec of a grid with a trial for each task and seed, in this order; see fake_worker."""
        spec = GridSpec(
            preset=Preset.QUICK,
            source="/export",
            source_name="1-fake/step-000000001",
            data_dir="/data",
            num_cpu_workers=num_workers,
            keep=keep,
            trials=make_trials([*tasks], preset=Preset.QUICK, num_seeds=num_seeds, via=via),
        )
        self.paths.grid_spec.write_text(spec.model_dump_json())

    def outcome(self) -> Outcome:
        """Wait for the end."""
        assert self.process is not None
        assert self.process.wait(PATIENCE_S) == 0, self.log
        return Outcome.model_validate_json(self.paths.outcome.read_bytes())

    def run(self, plan: Plan | None = None, *, steps: int = 20) -> Outcome:
        """Start and wait for the end."""
        self.start(plan, steps=steps)
        return self.outcome()

    def release(self) -> None:
        """Let ranks continue that wait at `hold_at`."""
        self.plan_path.with_name("go").touch()

    def post(self, verb: CommandKind) -> None:
        """Post a command to the mailbox."""
        post(self.paths.control, verb=verb, asked_by="a test", now=time.time())

    def wait_for_record(self, kind: str, *, count: int = 1) -> None:
        """Wait until the journal has this many records of a kind."""
        wait_for(lambda: len(self.records(kind)) >= count, what=f"{count} {kind} records; log:\n{self.log}")

    def records(self, kind: str) -> list[dict[str, object]]:
        """The journal's records of a kind."""
        return [record.model_dump() for record in read_journal(self.paths.journal) if record.kind == kind]

    @property
    def identity(self) -> RunnerIdentity:
        return RunnerIdentity.model_validate_json(self.paths.runner.read_bytes())

    @property
    def ledger(self) -> LedgerState:
        return read_ledger(self.paths.ledger)

    @property
    def log(self) -> str:
        return self.paths.log.read_text()

    def kill(self) -> None:
        """Kill the runner if it is still alive."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
