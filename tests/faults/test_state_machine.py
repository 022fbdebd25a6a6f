"""Commands, deaths, clock jumps and full disks in any order, compared by hypothesis with a small model."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bertd.daemon import submissions
from bertd.daemon.scheduling.devices import device_counts
from bertd.errors import DamagedLedgerError, DeviceError, QueueError, StorageError, TransitionError
from bertd.jobs.store.lifecycle import ENDED, LIVE, JobAction
from bertd.records import BudgetRequest, BudgetUnit, CommandKind, EndRecord, JobState, StartRecord, StepRecord
from bertd.run import ledger, mailbox
from bertd.run.atomic_files import atomic_write
from bertd.run.journal import read_journal
from bertd.run.ledger import read_ledger
from bertd.run.ledger_repair import repair_ledger
from bertd.run.mailbox import read_command
from bertd.run.paths import RunPaths, StatePaths, newest_first
from tests.faults.invariants import Witness, assert_sound
from tests.faults.simulated import CORES, STEPS, SimulatedDaemon, SimulatedRunner
from tests.faults.tally import Tally
from tests.faults.wishes import Known, Wish, wish_after
from tests.run.data_sets import write_manifest

_PICK = st.integers(0, 7)


class _ShiftedTime(ModuleType):
    """The time module, with clocks that a test can advance."""

    def __init__(self) -> None:
        super().__init__("time")
        self.offset_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.offset_s

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


class Life(RuleBasedStateMachine):
    """One state folder over many daemons."""

    steps_done = 0

    def __init__(self) -> None:
        super().__init__()
        in_memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="bertd-", dir=in_memory if in_memory.is_dir() else None))
        self.paths = StatePaths(self.folder / "state")
        self.paths.root.mkdir()
        self.shards = self.folder / "shards"
        self.shards.mkdir()
        write_manifest(self.shards)
        self.machine: dict[Path, SimulatedRunner] = {}
        self.known: dict[int, Known] = {}
        self.wish: dict[int, Wish] = {}
        self.steps_then: dict[int, int] = {}
        """Steps in its journal when it was last paused or stopped: no more may follow."""
        self.kept_from_starting: set[int] = set()
        self.grants: dict[int, set[float]] = {}
        """The budget; several if it depends on the steps done when the ranks read a change."""
        self.charged: dict[int, float] = {}
        self.standing: set[int] = set()
        """Runs that were suspended when their charge was last checked."""
        # hypothesis checks the invariants once before the first step.
        Life.steps_done -= 1
        self.is_full = False
        self.clock = _ShiftedTime()
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(ledger, "time", self.clock)
        for module in (submissions, device_counts, mailbox):
            self.patches.setattr(module, "atomic_write", self._write)
        self.daemon = SimulatedDaemon(self.paths, self.machine)
        self.daemon.scheduler.recover_jobs()

    def _write(self, path: Path, content: bytes | str) -> None:
        if self.is_full:
            raise StorageError(f"{path}: cannot write: no space left on device; free space")
        atomic_write(path, content)

    def _note(self) -> None:
        jobs = self.daemon.queue.most_relevant(limit=1000)
        self.known = {job.id: Known(job.state, job.priority, job.num_devices, job.is_hot) for job in jobs}

    def _folder(self, number: int) -> RunPaths:
        return RunPaths(Path(self.daemon.queue.get(number).folder))

    def _runner(self, number: int) -> SimulatedRunner | None:
        runner = self.machine.get(self._folder(number).root)
        return runner if runner is not None and runner.is_alive else None

    def _steps(self, number: int) -> int:
        journal = self._folder(number).journal
        lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
        return sum(line.startswith(b'{"kind":"step"') for line in lines)

    def _wishes(self, number: int, wish: Wish) -> None:
        self.wish[number] = wish
        self.steps_then[number] = self._steps(number)

    def _job(self, pick: int) -> int | None:
        ids = sorted(self.known)
        return ids[pick % len(ids)] if ids else None

    # ---- People --------------------------------------------------------------------------------------

    @rule(count=st.integers(1, CORES), priority=st.integers(-1, 1), hold=st.booleans())
    @precondition(lambda self: len(self.known) < 6)
    def submit(self, count: int, priority: int, hold: bool) -> None:
        before = self.known
        try:
            number = self.daemon.submit(self.shards, count=count, priority=priority, hold=hold)
        except StorageError:
            assert self.is_full
            self._note()
            assert self.known == before, "a refused submission left something"
            return
        self._note()
        assert number > max(before, default=0), "a number was given twice"
        assert self.known[number] == Known(JobState.HELD if hold else JobState.QUEUED, priority, count, is_hot=False)
        self._wishes(number, Wish.GO)
        self.grants[number] = {STEPS}
        if hold:
            self.kept_from_starting.add(number)

    @rule(pick=_PICK, order=st.sampled_from([*JobAction, JobAction.PAUSE]), hot=st.booleans())
    def ask(self, pick: int, order: JobAction, hot: bool) -> None:
        number = self._job(pick)
        if number is None:
            return
        before, wish = self.known, self.wish[number]
        hot = hot and order is JobAction.PAUSE
        is_allowed = before[number].allows(order, hot=hot, wish=wish)
        job = self.daemon.queue.get(number)
        try:
            job = self.daemon.job_actions.apply(order, job, asked_by="a test", now=1.0, hot=hot)
        except (TransitionError, StorageError) as error:
            assert self.is_full if isinstance(error, StorageError) else not is_allowed, f"{order}: {before[number]}"
            self._note()
            assert self.known == before, "a refused order changed something"
            return
        assert is_allowed, f"{order} was taken while {before[number]}"
        self._note()
        assert self.known[number].state is job.state
        assert job.state in before[number].states_after(order)
        if order in {JobAction.HOLD, JobAction.RELEASE, JobAction.STOP}:
            (self.kept_from_starting.add if order is JobAction.HOLD else self.kept_from_starting.discard)(number)
        if order in {JobAction.PAUSE, JobAction.RESUME, JobAction.STOP}:
            self._wishes(number, wish_after(order, hot=hot, wish=wish))
        if hot and self._runner(number) is None:
            # Its runner died a moment ago, and the daemon has not seen it yet.
            self.wish[number] = Wish.STAND

    @rule(pick=_PICK, num_devices=st.integers(1, CORES + 1), is_any=st.booleans())
    @precondition(lambda self: self.known)
    def resume_on(self, pick: int, num_devices: int, is_any: bool) -> None:
        # A random pick would hardly ever be a job that may be changed.
        resizable = {id for id, job in self.known.items() if job.is_resizable}
        ids = sorted(self.known if is_any or not resizable else resizable)
        number = ids[pick % len(ids)]
        before = self.known
        is_allowed = number in resizable and num_devices <= CORES
        try:
            self.daemon.job_actions.resume_on(num_devices, self.daemon.queue.get(number), asked_by="a test", now=1.0)
        except (TransitionError, DeviceError, StorageError) as error:
            assert self.is_full if isinstance(error, StorageError) else not is_allowed
            self._note()
            assert self.known == before, "a refused order changed something"
            return
        assert is_allowed
        self._note()
        assert (self.known[number].state, self.known[number].num_devices) == (JobState.QUEUED, num_devices)
        if before[number].state is not JobState.QUEUED or self.wish[number] is Wish.STOP:
            self._wishes(number, Wish.GO)

    @rule(pick=_PICK, amount=st.integers(1, 2 * STEPS))
    @precondition(lambda self: self.known)
    def change_budget(self, pick: int, amount: int) -> None:
        ids = sorted(self.known)
        number = ids[pick % len(ids)]
        records = read_journal(self._folder(number).journal)
        done = [record.step for record in records if isinstance(record, StartRecord | StepRecord | EndRecord)]
        step, best = (done[-1], max(done)) if done else (0, 0)
        has_ranks = self.known[number].has_ranks
        is_over = self.known[number].state in {JobState.STOPPING, JobState.DONE, JobState.CANCELLED}
        is_too_late = is_over or self.wish[number] is Wish.STOP
        order = BudgetRequest(unit=BudgetUnit.STEPS, amount=amount)
        try:
            self.daemon.budget_changes.change(order, self.daemon.queue.get(number), asked_by="a test", now=1.0)
        except TransitionError:
            assert is_too_late
        except QueueError:
            assert amount <= (best if has_ranks else step), "so much was not spent"
        except StorageError:
            assert self.is_full
        else:
            assert not is_too_late
            assert has_ranks or amount > step, "so much was spent already"
            has_ended = any(isinstance(record, EndRecord) and record.reason != "failed" for record in records)
            is_sure = amount > step and not has_ended
            self.grants[number] = {amount} if is_sure else {*self.grants[number], amount}
            assert has_ranks or self._shown_budgets()[number] == amount
        self._note()

    def _shown_budgets(self) -> dict[int, float]:
        """Budgets of runs without ranks; those of the others are shown once their ranks have applied the change."""
        queue, views = self.daemon.queue, self.daemon.views
        return {id: views.run(job).budget.amount for id in self.known if not (job := queue.get(id)).has_runner}

    @rule(pick=_PICK, priority=st.integers(-3, 3))
    def prioritize(self, pick: int, priority: int) -> None:
        number = self._job(pick)
        if number is None:
            return
        try:
            self.daemon.job_actions.prioritize(self.daemon.queue.get(number), priority=priority)
        except TransitionError:
            assert self.known[number].state not in {JobState.QUEUED, JobState.HELD, JobState.PAUSED}
        except StorageError:
            assert self.is_full
        else:
            assert self.known[number].state in {JobState.QUEUED, JobState.HELD, JobState.PAUSED}
        self._note()

    # ---- Time and deaths -----------------------------------------------------------------------------

    @rule()
    def tick(self) -> None:
        self._tick()

    @rule(times=st.integers(1, 6))
    def work(self, times: int) -> None:
        self._work(times)

    def _work(self, times: int) -> None:
        for number in self.known:
            for _ in range(times):
                runner = self._runner(number)
                if runner is not None:
                    runner.act()
                    self._heed_refusal(number, runner)

    def _heed_refusal(self, number: int, runner: SimulatedRunner) -> None:
        """If the disk refuses the checkpoint of a pause, the run continues, or stays suspended."""
        refused, runner.refused = runner.refused, None
        if refused is None or self.wish[number] is not Wish.COLD:
            return
        behind = [read_command(runner.paths.control, number=later) for later in range(refused + 1, refused + 20)]
        if not {CommandKind.PAUSE, CommandKind.SUSPEND} & {command.verb for command in behind if command is not None}:
            self._wishes(number, Wish.STAND if runner.is_suspended else Wish.GO)

    @rule(pick=_PICK, tears=st.booleans())
    def kill_runner(self, pick: int, tears: bool) -> None:
        self._strike(pick, lambda runner: runner.kill(tears=tears))

    @rule(pick=_PICK)
    def kill_ranks(self, pick: int) -> None:
        self._strike(pick, lambda runner: runner.lose_ranks())

    @rule(pick=_PICK)
    def kill_runner_in_its_last_moment(self, pick: int) -> None:
        def doom(runner: SimulatedRunner) -> None:
            runner.loses_outcome = True

        self._strike(pick, doom)

    def _strike(self, pick: int, fault: Callable[[SimulatedRunner], None]) -> None:
        alive = [(number, runner) for number in sorted(self.known) if (runner := self._runner(number)) is not None]
        if alive:
            number, runner = alive[pick % len(alive)]
            fault(runner)
            if self.wish[number] is Wish.HOT:
                self.wish[number] = Wish.STAND

    @rule()
    def kill_daemon(self) -> None:
        self._replace_daemon()

    @rule(rounds=st.integers(0, 4))
    def end_daemon(self, rounds: int) -> None:
        self.daemon.scheduler.prepare_shutdown()
        for _ in range(rounds):
            self._work(1)
            self._tick()
        self._note()
        for number, wish in self.wish.items():
            self.wish[number] = Wish.STAND if wish is Wish.HOT else wish
        self._replace_daemon()

    def _replace_daemon(self) -> None:
        budgets = self._shown_budgets()
        self.daemon.die()
        self.is_full = False
        for runner in self.machine.values():
            runner.is_disk_full = False
        self.daemon = SimulatedDaemon(self.paths, self.machine)
        acknowledged = self.known
        self._note()
        assert self.known == acknowledged, "what was answered did not survive the daemon"
        assert self._shown_budgets() == budgets, "a budget did not survive the daemon"
        self.daemon.scheduler.recover_jobs()
        self._note()

    @rule(seconds=st.floats(0.0, 1e6))
    def advance_clock(self, seconds: float) -> None:
        # Nothing is charged between two runners; while one is alive, all time that passes is training time.
        self.clock.offset_s += seconds

    @rule(is_full=st.booleans())
    def fill_disk(self, is_full: bool) -> None:
        self._fill_disk(is_full=is_full)

    def _fill_disk(self, *, is_full: bool) -> None:
        self.is_full = is_full
        self.daemon.fill_disk(is_full=is_full)
        for runner in self.machine.values():
            runner.is_disk_full = is_full

    @rule(pick=_PICK, what=st.sampled_from(["runner.json", "outcome.json", "journal.jsonl", "ledger.json"]))
    def corrupt(self, pick: int, what: str) -> None:
        number = self._job(pick)
        if number is None:
            return
        job = self.daemon.queue.get(number)
        path = Path(job.folder) / what
        runner = self.machine.get(Path(job.folder))
        if runner is not None and runner.is_alive:
            return
        if what == "journal.jsonl":
            with path.open("ab") as file:
                file.write(b'{"kind":"sta')
        elif path.exists():
            path.write_bytes(path.read_bytes()[:7])
        if what == "ledger.json":
            # It is rebuilt from the journal, which has no record of the clock's jump.
            self.charged.pop(number, None)
            self.standing.discard(number)

    # ---- Invariants ----------------------------------------------------------------------------------

    @invariant()
    def devices_are_leased_once(self) -> None:
        Life.steps_done += 1
        leases = self.daemon.queue.leases()
        assert sum(lease.slots for lease in leases.rows) <= CORES
        assert all(
            self.known[job].state in LIVE or self.known[job].is_hot for job in {lease.job_id for lease in leases.rows}
        )

    @invariant()
    def each_live_runner_has_its_job(self) -> None:
        alive = {folder for folder, runner in self.machine.items() if runner.is_alive}
        live = {Path(job.folder) for job in self.daemon.queue.live()}
        assert alive <= live, f"runners of jobs that are not live: {alive - live}"

    @invariant()
    def each_rank_has_its_device(self) -> None:
        leases = self.daemon.queue.leases()
        for job in self.daemon.queue.live():
            runner = self.machine.get(Path(job.folder))
            if runner is not None and runner.is_alive:
                assert (
                    sum(lease.slots for lease in leases.rows if lease.job_id == job.id)
                    == runner.num_ranks
                    == job.num_devices
                )

    @invariant()
    def who_is_asked_to_stand_does_no_step_more(self) -> None:
        for number, wish in self.wish.items():
            if wish is not Wish.GO:
                assert self._steps(number) == self.steps_then[number], f"job {number} trains on: {wish}"

    @invariant()
    def charges_never_fall_and_stand_while_ranks_are_held(self) -> None:
        for number in self.known:
            runner = self._runner(number)
            try:
                charged_s = read_ledger(self._folder(number).ledger).ticked_s
            except DamagedLedgerError:
                assert number not in self.charged and runner is None
                continue
            assert charged_s >= self.charged.get(number, 0.0)
            is_standing = runner is not None and runner.is_suspended and self.wish[number] is Wish.HOT
            if is_standing and number in self.standing:
                assert charged_s == self.charged[number], "a hold was charged"
            self.charged[number] = charged_s
            (self.standing.add if is_standing else self.standing.discard)(number)

    def teardown(self) -> None:
        """Without further faults, every job that may end does end, and the folder is sound."""
        try:
            self._fill_disk(is_full=False)
            self._settle()
            for number, wish in self.wish.items():
                if wish is Wish.HOT and self.known[number].state not in ENDED:
                    assert self.known[number].is_hot, f"job {number} holds no more: {self.known[number]}"
            self._let_go()
            self._settle()
            for number, job in self.known.items():
                self._assert_as_wished(number, job)
                repair_ledger(self._folder(number))
            self.daemon.database.close()
            witness = Witness()
            witness.born_s -= self.clock.offset_s + 1e9
            assert_sound(self.paths.root, witness, has_real_checkpoints=False)
        finally:
            self.patches.undo()
            shutil.rmtree(self.folder)

    def _settle(self) -> None:
        """Act until nothing changes any more."""
        rounds = 0
        before: object = None
        while before != (before := (self.known, [self._steps(number) for number in self.known])):
            rounds += 1
            assert rounds < 400, f"jobs that never ended: {self.known}"
            for _ in range(5):
                self._tick()
                self._work(1)

    def _let_go(self) -> None:
        """Resume suspended runs: others wait for their devices."""
        for number, job in self.known.items():
            if job.is_hot:
                self.daemon.job_actions.apply(
                    JobAction.RESUME, self.daemon.queue.get(number), asked_by="a test", now=1.0
                )
                self._wishes(number, Wish.GO)

    def _assert_as_wished(self, number: int, job: Known) -> None:
        wish, folder = self.wish[number], self._folder(number)
        assert folder.ledger.name not in self.daemon.queue.get(number).reason, "a ledger that could be repaired was not"
        if job.state not in ENDED:
            assert (job.state is JobState.HELD) is (number in self.kept_from_starting)
            if number not in self.kept_from_starting:
                assert wish in {Wish.HOT, Wish.COLD, Wish.STAND}, f"{wish}, but {job}"
                assert job.state is JobState.PAUSED and not job.is_hot, f"{wish}, but {job}"
        if job.state is JobState.DONE:
            assert newest_first(folder.exports), "a run is done without an export"
        ends = [record for record in read_journal(folder.journal) if isinstance(record, EndRecord)]
        spent = [record.step for record in ends if record.reason == "budget"]
        assert set(spent) <= self.grants[number], f"{spent} steps were done for {self.grants[number]}"

    def _tick(self) -> None:
        try:
            while self.daemon.scheduler.tick():
                pass
        except StorageError:
            assert self.is_full
        self._note()


@pytest.mark.parametrize("examples", [4, pytest.param(100, marks=pytest.mark.faults)])
def test_nothing_that_people_and_faults_do_breaks_the_model(tally: Tally, examples: int) -> None:
    Life.steps_done = 0
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Life.steps_done >= 40 * examples
    tally.injected += Life.steps_done
    tally.sound()
