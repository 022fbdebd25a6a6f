"""People, deaths, clocks and disks in any order, against a small model: hypothesis looks for one that breaks it."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bertd.daemon import admission, device_counts
from bertd.errors import DeviceError, StorageError, TransitionError
from bertd.jobs.lifecycle import LIVE, OVER, Order
from bertd.records import JobState
from bertd.run import ledger, mailbox
from bertd.run.durable import write_whole
from bertd.run.ledger import read_ledger
from bertd.run.paths import RunPaths, StatePaths, newest_first
from tests.faults.invariants import Witness, assert_sound
from tests.faults.simulated import CORES, STEPS, SimulatedDaemon, SimulatedRunner
from tests.faults.tally import Tally

_Q, _H, _S, _R = JobState.QUEUED, JobState.HELD, JobState.STARTING, JobState.RUNNING
_P1, _P2, _ST = JobState.PAUSING, JobState.PAUSED, JobState.STOPPING
ALLOWED = {
    Order.PAUSE: {_S, _R},
    Order.RESUME: {_P1, _P2, JobState.FAILED, JobState.LOST},
    Order.STOP: {_Q, _H, _S, _R, _P1, _P2},
    Order.HOLD: {_Q},
    Order.RELEASE: {_H},
    Order.CHECKPOINT: {_R},
}
RESIZABLE = {_Q, _P2, JobState.FAILED, JobState.LOST}
"""The model of people: in which states an order is taken; written down here again, apart from the table it tests."""
_PICK = st.integers(0, 7)


class _ShiftedTime(ModuleType):
    """The time module, on a machine whose clocks can be moved on."""

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
        (self.shards / "manifest.json").write_text("{}")
        self.machine: dict[Path, SimulatedRunner] = {}
        self.known: dict[int, tuple[JobState, int]] = {}
        """What the daemon last answered: state and priority."""
        self.wanted: dict[int, int] = {}
        """And the number of devices."""
        self.charged: dict[int, float] = {}
        self.is_full = False
        self.clock = _ShiftedTime()
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(ledger, "time", self.clock)
        for module in (admission, device_counts, mailbox):
            self.patches.setattr(module, "write_whole", self._write)
        self.daemon = SimulatedDaemon(self.paths, self.machine)
        self.daemon.scheduler.take_over()

    def _write(self, path: Path, content: bytes | str) -> None:
        if self.is_full:
            raise StorageError(f"{path}: cannot write: no space left on device; free space")
        write_whole(path, content)

    def _note(self) -> None:
        jobs = self.daemon.queue.newest_first(limit=1000)
        self.known = {job.id: (job.state, job.priority) for job in jobs}
        self.wanted = {job.id: job.num_devices for job in jobs}

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
        assert self.known[number] == (_H if hold else _Q, priority)

    @rule(pick=_PICK, order=st.sampled_from(list(ALLOWED)))
    def ask(self, pick: int, order: Order) -> None:
        number = self._job(pick)
        if number is None:
            return
        before = self.known
        state, _ = before[number]
        try:
            job = self.daemon.orders.carry_out(order, self.daemon.queue.get(number), asked_by="a test", now=1.0)
        except TransitionError:
            assert state not in ALLOWED[order], f"{order} was refused while {state}"
            self._note()
            assert self.known == before
            return
        except StorageError:
            assert self.is_full
            self._note()
            assert self.known == before, "a refused order changed something"
            return
        assert state in ALLOWED[order], f"{order} was taken while {state}"
        self._note()
        assert self.known[number][0] is job.state
        expected = {
            Order.PAUSE: {_P1},
            Order.RESUME: {_P1} if state is _P1 else {_Q},
            Order.HOLD: {_H},
            Order.RELEASE: {_Q},
            Order.CHECKPOINT: {state},
            Order.STOP: {_ST} if state in LIVE else {JobState.CANCELLED, _Q},
        }
        assert job.state in expected[order]

    @rule(pick=_PICK, num_devices=st.integers(1, CORES + 1), is_any=st.booleans())
    @precondition(lambda self: self.known)
    def resume_on(self, pick: int, num_devices: int, is_any: bool) -> None:
        # Left to chance, hardly one in a hundred would be a job that may be changed.
        ids = [id for id, (state, _) in self.known.items() if state in RESIZABLE and not is_any] or sorted(self.known)
        number = ids[pick % len(ids)]
        before, wanted = self.known, self.wanted
        state, _ = before[number]
        try:
            self.daemon.orders.resume_on(num_devices, self.daemon.queue.get(number), asked_by="a test", now=1.0)
        except (TransitionError, DeviceError, StorageError) as error:
            assert self.is_full if isinstance(error, StorageError) else state not in RESIZABLE or num_devices > CORES
            self._note()
            assert (self.known, self.wanted) == (before, wanted), "a refused order changed something"
            return
        assert state in RESIZABLE and num_devices <= CORES
        self._note()
        assert (self.known[number][0], self.wanted[number]) == (_Q, num_devices)

    @rule(pick=_PICK, priority=st.integers(-3, 3))
    def prioritize(self, pick: int, priority: int) -> None:
        number = self._job(pick)
        if number is None:
            return
        try:
            self.daemon.orders.prioritize(self.daemon.queue.get(number), priority=priority)
        except TransitionError:
            assert self.known[number][0] not in {_Q, _H, _P2}
        except StorageError:
            assert self.is_full
        else:
            assert self.known[number][0] in {_Q, _H, _P2}
        self._note()

    # ---- Time and deaths -----------------------------------------------------------------------------

    @rule()
    def tick(self) -> None:
        self._tick()

    @rule(times=st.integers(1, 6))
    def work(self, times: int) -> None:
        for runner in self.machine.values():
            for _ in range(times):
                if runner.is_alive:
                    runner.act()

    @rule(pick=_PICK, tears=st.booleans())
    def kill_runner(self, pick: int, tears: bool) -> None:
        alive = [runner for runner in self.machine.values() if runner.is_alive]
        if alive:
            alive[pick % len(alive)].kill(tears=tears)

    @rule()
    def kill_daemon(self) -> None:
        self.daemon.die()
        self.is_full = False
        self.daemon = SimulatedDaemon(self.paths, self.machine)
        acknowledged = self.known, self.wanted
        self._note()
        assert (self.known, self.wanted) == acknowledged, "what was answered did not survive the daemon"
        self.daemon.scheduler.take_over()
        self._note()

    @rule(seconds=st.floats(0.0, 1e6))
    def advance_clock(self, seconds: float) -> None:
        # Nothing charges between two lives of a runner; within one, time that passes is time that trains.
        self.clock.offset_s += seconds

    @rule(is_full=st.booleans())
    def fill_disk(self, is_full: bool) -> None:
        self.is_full = is_full
        self.daemon.fill_disk(is_full=is_full)

    @rule(pick=_PICK, what=st.sampled_from(["runner.json", "outcome.json", "journal.jsonl"]))
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

    # ---- What always holds ---------------------------------------------------------------------------

    @invariant()
    def devices_are_leased_once(self) -> None:
        Life.steps_done += 1
        leases = self.daemon.queue.leases()
        assert sum(slots for devices in leases.values() for slots in devices.values()) <= CORES
        states = {job: state for job, (state, _) in self.known.items()}
        assert all(states.get(job, _R) in LIVE for job in leases)

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
                assert sum(leases[job.id].values()) == runner.num_ranks == job.num_devices

    @invariant()
    def charges_never_fall(self) -> None:
        for number in self.known:
            folder = Path(self.daemon.queue.get(number).folder)
            charged_s = read_ledger(RunPaths(folder).ledger).ticked_s
            assert charged_s >= self.charged.get(number, 0.0)
            self.charged[number] = charged_s

    def teardown(self) -> None:
        """Nothing more goes wrong: everything that may end, ends; and what is left is sound."""
        try:
            self.is_full = False
            self.daemon.fill_disk(is_full=False)
            rounds = 0
            while rounds == 0 or any(state not in OVER | {_H, _P2} for state, _ in self.known.values()):
                rounds += 1
                assert rounds < 400, f"jobs that never ended: {self.known}"
                self._tick()
                for runner in self.machine.values():
                    if runner.is_alive:
                        runner.act()
            for number, (state, _) in self.known.items():
                folder = RunPaths(Path(self.daemon.queue.get(number).folder))
                if state is JobState.DONE:
                    assert newest_first(folder.exports), "a run is done without an export"
                    assert int(newest_first(folder.checkpoints)[0].name.removeprefix("step-")) <= STEPS
            self.daemon.database.close()
            witness = Witness()
            witness.born_s -= self.clock.offset_s + 1e9
            assert_sound(self.paths.root, witness, has_real_checkpoints=False)
        finally:
            self.patches.undo()
            shutil.rmtree(self.folder)

    def _tick(self) -> None:
        try:
            while self.daemon.scheduler.tick():
                pass
        except StorageError:
            assert self.is_full
        self._note()


@pytest.mark.parametrize("examples", [3, pytest.param(60, marks=pytest.mark.faults)])
def test_nothing_that_people_and_faults_do_breaks_the_model(tally: Tally, examples: int) -> None:
    Life.steps_done = 0
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Life.steps_done >= 20 * examples
    tally.injected += Life.steps_done
    tally.sound()
