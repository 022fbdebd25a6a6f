"""A simulated daemon in this process: the real queue, scheduler, commands and admission over runners that are objects.

A simulated runner keeps the contract of bertd.jobs.runner.run_job: it locks the job's log, keeps the ledger, has fake
ranks write the journal and read the mailbox, and leaves an outcome. It acts only when a test calls it, and can be
killed.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from bertd.api.models import SubmitPretrain, VersionView
from bertd.daemon.admission.quota import Quotas
from bertd.daemon.api.start_condition_views import StartConditionViews
from bertd.daemon.api.views import Views
from bertd.daemon.grids.marker_grids import MarkerGrids
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.scheduling.budget_changes import BudgetChanges
from bertd.daemon.scheduling.conditions.dependencies import Dependencies
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.scheduling.devices.inventory import Devices
from bertd.daemon.scheduling.job_actions import JobActions
from bertd.daemon.scheduling.runners import Runners
from bertd.daemon.scheduling.scheduler import Scheduler
from bertd.daemon.submissions import Submissions
from bertd.daemon.sweeps.sweep_actions import SweepActions
from bertd.daemon.sweeps.sweep_driver import SweepDriver
from bertd.daemon.sweeps.sweep_settings import SweepSettings
from bertd.daemon.sweeps.sweep_views import SweepViews
from bertd.jobs.runner.attempt_follower import AttemptFollower
from bertd.jobs.runner.run_job import job_lock
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Queue
from bertd.jobs.store.tables.marker_grid_table import MarkerGridTable
from bertd.jobs.store.tables.sweep_table import SweepTable
from bertd.records import Command, CommandKind, ExitClass, JobKind, JobState, Outcome, RestartRecord
from bertd.run.atomic_files import atomic_write
from bertd.run.ledger import Ledger
from bertd.run.mailbox import read_command
from bertd.run.paths import RunPaths, StatePaths, newest_first, step_of
from tests.jobs.fake_ranks import FakeRanks, Plan
from tests.jobs.runner_box import recipe_text

CORES = 2
STEPS = 12


class SimulatedRunner:
    """A runner from its start to its end; `act` does the next thing."""

    def __init__(self, paths: RunPaths) -> None:
        """Lock the folder, as a runner process does at its start.

        Raises:
            DaemonBusyError: another runner has it.
        """
        self.paths = paths
        self.exit_code: int | None = None
        self._lock: AbstractContextManager[None] = job_lock(paths)
        self._lock.__enter__()
        self._ledger = Ledger(paths.ledger)
        self._follower = AttemptFollower(paths)
        self._ranks = self._begin()
        self._told_to_end = False
        self.loses_outcome = False
        """Kill it after its ranks have exited and before it writes the outcome."""
        self.is_disk_full = False
        """No checkpoint can be written: a pause is refused and the run continues to train."""
        self.refused: int | None = None
        """Number of the last command that was refused for that."""

    @property
    def num_ranks(self) -> int:
        return self._ranks.recipe.devices.count

    @property
    def step(self) -> int:
        return self._ranks.step

    @property
    def is_suspended(self) -> bool:
        return self._ranks.clock.is_suspended

    @property
    def is_alive(self) -> bool:
        return self.exit_code is None

    def act(self) -> None:
        """Read a command and apply it, or do a step; suspended ranks do no step."""
        self._ledger.tick()
        ranks = self._ranks
        command = read_command(self.paths.control, number=ranks.acknowledged + 1)
        if command is not None:
            ranks.acknowledged = command.number
            self._obey(command)
        elif self._told_to_end:
            ranks._pause("bertd was told to stop")
            self._leave(JobState.PAUSED, "bertd was told to stop")
        elif ranks.clock.is_suspended:
            return
        elif ranks.is_at_mark():
            ranks._pause_at_mark()
            self._leave(JobState.PAUSED, "reached its mark")
        elif ranks.is_spent():
            ranks._end("budget", "the budget is spent")
            self._leave(JobState.DONE, "the budget is spent")
        else:
            ranks._train()

    def _begin(self) -> FakeRanks:
        """Start ranks."""
        self._ledger.begin()
        attempt = self._follower.begin_attempt()
        gate = self.paths.root / "go"
        ranks = FakeRanks(self.paths, attempt=attempt, plan=Plan(checkpoint_every=4, step_s=0.0), gate=gate)
        ranks._start()
        return ranks

    def _obey(self, command: Command) -> None:
        ranks = self._ranks
        match command.verb:
            case CommandKind.STOP:
                ranks._end("stopped", "requested by a person", answers=command)
                self._leave(JobState.DONE, "stopped: requested by a person")
            case CommandKind.UNREADABLE:
                ranks._acknowledge(command.number, command.verb, outcome="refused")
            case CommandKind.PAUSE if self.is_disk_full:
                self.refused = command.number
                ranks._acknowledge(command.number, command.verb, outcome="refused")
            case CommandKind.PAUSE:
                ranks._pause("requested by a person", answers=command)
                self._leave(JobState.PAUSED, "requested by a person")
            case CommandKind.BUDGET:
                ranks._set_budget(command)
            case CommandKind.CHECKPOINT:
                ranks._checkpoint("command")
                ranks._acknowledge(command.number, command.verb)
            case CommandKind.SUSPEND | CommandKind.RESUME:
                self._suspend(command.verb is CommandKind.SUSPEND)
                ranks._acknowledge(command.number, command.verb)

    def _suspend(self, is_suspended: bool) -> None:
        if is_suspended != self._ranks.clock.is_suspended:
            self._ranks._suspend(is_suspended)
            self._follower.follow()
            marks = self._follower.clock_marks
            if is_suspended:
                self._ledger.end(at_s=marks[-1].charged_s)
            else:
                self._ledger.begin(since_s=marks[-1].since_s)

    def lose_ranks(self) -> None:
        """The ranks die: suspended ones become paused cold, others restart from their newest checkpoint."""
        was_held = self._ranks.clock.is_suspended
        self._ledger.end()
        if was_held:
            self._leave(JobState.PAUSED, "its ranks died while they were suspended")
            return
        found = newest_first(self.paths.checkpoints)
        self._ranks.journal.append(
            RestartRecord(
                t=time.time(),
                step=self._ranks.step,
                attempt=self._ranks.attempt + 1,
                cause="a test",
                delay_s=0.0,
                from_step=step_of(found[0]) if found else 0,
                charged_s=self._ledger.state.ticked_s,
                exit_class=ExitClass.TRANSIENT,
            )
        )
        self._ranks.journal.close()
        self._ranks = self._begin()

    def tell_to_end(self) -> None:
        """SIGTERM."""
        self._told_to_end = True

    def kill(self, *, tears: bool) -> None:
        """SIGKILL: the ledger stays open, and the journal's last line may be torn."""
        if tears:
            with self.paths.journal.open("ab") as journal:
                journal.write(b'{"kind":"step","st')
        self._gone(-9)

    def _leave(self, state: JobState, reason: str) -> None:
        self._ledger.end()
        if self.loses_outcome:
            self._gone(-9)
            return
        atomic_write(self.paths.outcome, Outcome(state=state, reason=reason, exit_code=0).model_dump_json())
        self._gone(0)

    def _gone(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self._lock.__exit__(None, None, None)


class _Attached:
    identity = None
    """None, as for a child process, whose version is not checked."""

    def __init__(self, runner: SimulatedRunner, *, is_child: bool) -> None:
        self.runner = runner
        self._is_child = is_child

    def has_ended(self) -> bool:
        return not self.runner.is_alive

    @property
    def exit_code(self) -> int | None:
        return self.runner.exit_code if self._is_child else None


class SimulatedRunners:
    """The part of bertd.daemon.scheduling.runners.Runners that the scheduler uses.

    A daemon has one; the machine keeps the processes.
    """

    def __init__(self, machine: dict[Path, SimulatedRunner]) -> None:
        self._machine = machine
        self.attached: dict[int, _Attached] = {}

    def start(
        self,
        job_id: int,
        *,
        kind: JobKind,
        folder: Path,
        devices: dict[str, int],
        parts: int = 1,
        memory_bytes: int | None = None,
    ) -> None:
        """Start one."""
        self._machine[folder] = SimulatedRunner(RunPaths(folder))
        self.attached[job_id] = _Attached(self._machine[folder], is_child=True)

    def adopt(self, job_id: int, *, folder: Path) -> bool:
        """Watch a runner that an earlier daemon started."""
        runner = self._machine.get(folder)
        if runner is None or not runner.is_alive:
            return False
        self.attached[job_id] = _Attached(runner, is_child=False)
        return True

    def terminate(self, job_id: int) -> None:
        """Send one SIGTERM."""
        self.attached[job_id].runner.tell_to_end()

    def detach(self, job_id: int) -> None:
        """Stop watching a runner."""
        del self.attached[job_id]


BOX_WITHOUT_GPUS = Inventory(cpu_slots=CORES, gpus=(), no_gpu_reason="none here")


class SimulatedDaemon:
    """The daemon from one start to its end."""

    def __init__(
        self, paths: StatePaths, machine: dict[Path, SimulatedRunner], *, inventory: Inventory = BOX_WITHOUT_GPUS
    ) -> None:
        """Open the queue; no runner is adopted yet."""
        self.database = Database(paths.queue)
        self.events = EventLog(self.database)
        self.queue = Queue(self.database, self.events)
        self.queued_jobs_per_user = 1_000
        quotas = Quotas(self.queue, limit=lambda: self.queued_jobs_per_user)
        self.job_actions = JobActions(
            self.database,
            self.queue,
            inventory=inventory,
            quotas=quotas,
        )
        marker_grid_table = MarkerGridTable(self.database, self.events)
        self.submissions = Submissions(
            paths,
            database=self.database,
            queue=self.queue,
            inventory=inventory,
            marker_grids=marker_grid_table,
            quotas=Quotas(self.queue, limit=lambda: self.queued_jobs_per_user),
        )
        self.runners = SimulatedRunners(machine)
        run_metrics = RunMetrics(self.database)
        self.now = 0.0
        """The clock of `marker_grids`, moved by tests, which also call it: no grid is simulated."""
        self.marker_grids = MarkerGrids(
            database=self.database,
            queue=self.queue,
            events=self.events,
            table=marker_grid_table,
            submissions=self.submissions,
            run_metrics=run_metrics,
            inventory=inventory,
            clock=lambda: self.now,
        )
        self.sweep_table, settings = SweepTable(self.database, self.events), SweepSettings()
        self.sweep_actions = SweepActions(
            paths,
            database=self.database,
            queue=self.queue,
            table=self.sweep_table,
            submissions=self.submissions,
            job_actions=self.job_actions,
        )
        self.sweep_views = SweepViews(paths, queue=self.queue, table=self.sweep_table, run_metrics=run_metrics)
        sweep_driver = SweepDriver(
            paths,
            database=self.database,
            queue=self.queue,
            events=self.events,
            table=self.sweep_table,
            settings=settings,
            submissions=self.submissions,
            run_metrics=run_metrics,
            inventory=inventory,
        )
        self.scheduler = Scheduler(
            database=self.database,
            queue=self.queue,
            events=self.events,
            run_metrics=run_metrics,
            runners=cast(Runners, self.runners),
            inventory=inventory,
            queue_jobs=sweep_driver.advance,
        )
        version = VersionView(bertd="", api=1, pid=0, state_dir=str(paths.root), started_t=0.0)
        self.views = Views(
            outlook=self.scheduler.outlook,
            lends=self.scheduler.lends,
            start_conditions=StartConditionViews(
                self.database, dependencies=Dependencies(self.database, self.queue, run_metrics=run_metrics)
            ),
            version=version,
            queue=self.queue,
            events=self.events,
            run_metrics=run_metrics,
            marker_grids=marker_grid_table,
            devices=cast(Devices, None),  # No test reads what the devices do.
        )
        self.budget_changes = BudgetChanges(run_metrics=run_metrics, scheduler=self.scheduler)

    def submit(self, shards: Path, *, count: int, priority: int, hold: bool) -> int:
        """Queue a pretraining and return its number."""
        text = recipe_text(steps=STEPS, shards=str(shards), count=count)
        small = ["model.layers=1", "model.width=16", "model.heads=2", "model.ffn=16", "checkpoint.keep=1"]
        order = SubmitPretrain(recipe_toml=text, recipe_name="fake.toml", overrides=small, priority=priority, hold=hold)
        return self.submissions.submit_pretraining(order, uid=0, now=time.time()).id

    def fill_disk(self, *, is_full: bool) -> None:
        """Limit SQLite to the pages that it has, or lift the limit."""
        pages = self.database.execute("PRAGMA page_count").fetchone()[0] if is_full else 1 << 30
        self.database.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    def die(self) -> None:
        """SIGKILL: nothing is checkpointed, cleaned up or reported."""
        self.database._connection.close()
