"""A real daemon in its own process, with a private state folder and fake ranks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from bertd.api.client import Client
from bertd.api.models import EventView, JobView, SubmitFinetune, SubmitPretrain
from bertd.errors import DaemonUnreachableError, TransitionError
from bertd.jobs.store.lifecycle import ENDED
from bertd.records import GLUE_FILES, JobState, JournalRecord, RunnerIdentity
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths, StatePaths
from tests.jobs.fake_ranks import Plan
from tests.jobs.runner_box import recipe_text, with_tests_on_path
from tests.run.data_sets import write_manifest
from tests.waiting import PATIENCE_S, wait_for


class DaemonBox:
    """What a test does to a daemon."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = StatePaths(folder / "state")
        self.socket = folder / "bertd.sock"
        self.plan_path = folder / "plan.json"
        self.log_path = folder / "daemon.log"
        self.client = Client(self.socket)
        self.process: subprocess.Popen[bytes] | None = None
        self.cores = os.cpu_count() or 1
        self.shards = folder / "shards"
        self.shards.mkdir()
        write_manifest(self.shards)
        self.glue = folder / "glue"
        for name in ("cola", "rte", "wnli"):
            files = GLUE_FILES[name]
            (self.glue / files.folder).mkdir(parents=True)
            for file in (files.train, files.dev):
                (self.glue / files.folder / file).touch()
        self.plan(Plan())

    # ---- The process -------------------------------------------------------------------------------

    def plan(self, plan: Plan) -> None:
        """Set what ranks do that are started later."""
        self.plan_path.with_name("go").unlink(missing_ok=True)
        self.plan_path.write_text(plan.model_dump_json())

    def release(self) -> None:
        """Let ranks continue that hold."""
        self.plan_path.with_name("go").touch()

    def spawn(self, *options: str, socket: str | None = None, env: dict[str, str] | None = None) -> None:
        """Start the daemon without waiting for it."""
        command = [sys.executable, "-m", "tests.daemon.fake_daemon", str(self.state.root), socket or str(self.socket)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.plan_path), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=with_tests_on_path() | (env or {}),
                cwd=self.folder,
            )

    def start(self, *options: str, env: dict[str, str] | None = None) -> None:
        """Start the daemon and wait until it answers."""
        self.spawn(*options, env=env)
        wait_for(self.answers, what=f"the daemon; its log:\n{self.log}")

    def answers(self) -> bool:
        """Whether this daemon, and not an earlier one, answers."""
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return self.client.version().pid == self.process.pid
        except DaemonUnreachableError:
            return False

    def exit_code(self) -> int:
        """Wait until it has exited."""
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """Send SIGTERM, and wait."""
        assert self.process is not None
        self.process.terminate()
        return self.exit_code()

    def kill(self) -> None:
        """Send SIGKILL, which does not end runners."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def clean_up(self) -> None:
        """End the daemon and every runner of its jobs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in word for word in process.info["cmdline"] or []):
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    pass

    @property
    def log(self) -> str:
        """What the daemon printed."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def events(self) -> list[EventView]:
        """All events in the event log."""
        last = self.client.status().events[-1].id
        stream, seen = self.client.events(since=0), list[EventView]()
        while not seen or seen[-1].id < last:
            item = next(stream)
            if isinstance(item, EventView):
                seen.append(item)
        stream.close()
        return seen

    # ---- Jobs --------------------------------------------------------------------------------------

    def pretraining(self, *, steps: int = 20, count: int = 1, priority: int = 0, hold: bool = False) -> SubmitPretrain:
        """A submission that works."""
        text = recipe_text(steps=steps, shards=str(self.shards), count=count)
        return SubmitPretrain(recipe_toml=text, recipe_name="fake.toml", priority=priority, hold=hold)

    def submit(self, *, steps: int = 20, count: int = 1) -> JobView:
        """Submit a pretraining."""
        return self.client.submit(self.pretraining(steps=steps, count=count))

    def submit_wide(self, *, steps: int = 20) -> JobView:
        """Submit a pretraining that needs every core, so that no other job runs at the same time."""
        return self.submit(steps=steps, count=self.cores)

    def clear(self) -> None:
        """End every job, in whatever state."""
        self.plan(Plan())
        self.release()
        for _ in range(2):
            for job in self.client.jobs():
                if job.state not in ENDED | {JobState.STOPPING}:
                    self._stop_or_find_ended(job.id)
        wait_for(
            lambda: all(job.state in ENDED for job in self.client.jobs()), what=f"all jobs to end: {self.client.jobs()}"
        )

    def _stop_or_find_ended(self, id: int) -> None:
        """Stop a job, which may end by itself meanwhile: then there is nothing to stop."""
        try:
            self.client.stop(id)
        except TransitionError:
            assert self.client.job(id).state in ENDED | {JobState.STOPPING}

    def submit_finetuning(self, task: str, *, run: str = "@") -> JobView:
        """Submit a finetuning; the fake's task decides what happens."""
        return self.client.submit(SubmitFinetune(run=run, task=task, data_dir=str(self.glue)))

    def wait_for_state(self, id: int, *states: JobState) -> JobView:
        """Wait until a job is in one of the states."""
        wait_for(
            lambda: self.client.job(id).state in states,
            what=f"job {id} to be {states}; it is {self.client.job(id)}\n{self.log}",
        )
        return self.client.job(id)

    def wait_for_reason(self, id: int, part: str) -> None:
        """Wait until a job's reason has these words."""
        wait_for(lambda: part in self.client.job(id).reason, what=f"job {id} to say {part!r}")

    def wait_for_step(self, id: int, step: int) -> None:
        """Wait until a run has done a number of steps."""

        def is_there() -> bool:
            newest = self.client.run(id).step
            return newest is not None and newest.step >= step

        wait_for(is_there, what=f"step {step} of job {id}: {self.client.job(id)}\n{self.log}")

    def wait_for_record(self, id: int, kind: str, *, count: int = 1) -> None:
        """Wait until a run's journal has `count` records of a kind."""

        def are_there() -> bool:
            return sum(record.kind == kind for record in read_journal(self.run_paths(id).journal)) >= count

        wait_for(are_there, what=f"{count} {kind} records of job {id}: {self.client.job(id)}\n{self.log}")

    def run_paths(self, id: int) -> RunPaths:
        """A run's folder."""
        return self.state.run(f"{id}-fake")

    def records(self, id: int) -> list[JournalRecord]:
        """A run's journal."""
        return read_journal(self.run_paths(id).journal)

    def steps(self, id: int) -> list[int]:
        """The commands that the journal reports as done."""
        return [record.step for record in read_journal(self.run_paths(id).journal) if record.kind == "step"]

    def runner(self, id: int) -> RunnerIdentity:
        """A run's runner."""
        return RunnerIdentity.model_validate_json(self.run_paths(id).runner.read_bytes())
