"""A run over several machines, as network namespaces: its weights, a lost machine, a slow and a broken network.

The recipe has no dropout, so that the numbers of a rank do not depend on how many there are.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bertd.jobs.runner.run_job import read_outcome
from bertd.records import (
    DevicesRecord,
    EndRecord,
    JobState,
    JournalRecord,
    RestartRecord,
    StartRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.journal import read_journal
from bertd.run.journal_digest import read_progress
from bertd.run.ledger import read_ledger
from bertd.run.paths import RunPaths, step_folder_name
from tests.train.distributed.nodes.namespaces import PORT, Machine, Machines, missing_for_namespaces, tail
from tests.waiting import PATIENCE_S, wait_for

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(bool(missing_for_namespaces()), reason=missing_for_namespaces() or "-"),
]

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
dropout = 0.0
attention_dropout = 0.0
[optimizer]
peak_lr = 5e-3
[batch]
sequences = 12
micro = 2
[validation]
max_sequences = 16
[checkpoint]
every = "1s"
[devices]
kind = "cpu"
{devices}
"""
LONG = 80
"""Steps of a run that is disturbed."""
TOLERANCE = 1e-5
"""Of weights after 20 steps, on as many ranks of one machine; found: 0."""
OTHER_COUNT_TOLERANCE = 1e-3
"""On another number of ranks, whose sums round otherwise; found after 80 steps: see below."""


class Cluster:
    """Machines with one run, and what they wrote."""

    def __init__(self, machines: Machines, folder: Path, dataset: Path) -> None:
        self.machines, self._folder, self._dataset = machines, folder, dataset
        self.paths = RunPaths(folder / "run")
        self.logs = [folder / f"{machine.name}.log" for machine in machines.all]

    def train(self, *, steps: int, devices: str) -> subprocess.Popen[bytes]:
        """Start the run on the first machine."""
        recipe = self._folder / "tiny.toml"
        recipe.write_text(RECIPE.format(steps=steps, shards=self._dataset, devices=devices))
        arguments = ("train", recipe, "--folder", self.paths.root)
        return self.machines[0].start(*arguments, cwd=self._folder, log=self.logs[0])

    def add_machine(self, number: int, *, address: str | None = None) -> subprocess.Popen[bytes]:
        """Start `bertd join` on another machine."""
        host = address or self.machines[0].address
        arguments = ("join", host, "--port", str(PORT), "--wait", "5min")
        return self.machines[number].start(*arguments, cwd=self._folder, log=self.logs[number])

    def records(self) -> list[JournalRecord]:
        return read_journal(self.paths.journal) if self.paths.journal.exists() else []

    def wait_for(self, condition: Callable[[list[JournalRecord]], bool], *, what: str) -> None:
        """Wait for records of the journal; they do not come any more if the first command has ended."""
        first = self.machines[0].processes[-1]
        wait_for(lambda: condition(self.records()) or first.poll() is not None, what=what)
        assert condition(self.records()), self.described()

    def end(self, process: subprocess.Popen[bytes], *, status: int = 0) -> None:
        """Wait for the end of a command."""
        assert process.wait(PATIENCE_S) == status, self.described()

    def weights(self, step: int) -> dict[str, torch.Tensor]:
        weights: dict[str, torch.Tensor] = load_file(
            self.paths.checkpoints / step_folder_name(step) / "model.safetensors"
        )
        return weights

    def described(self) -> str:
        return tail([*self.logs, self.paths.log])


def steps_done(records: list[JournalRecord]) -> int:
    return max((record.step for record in records if isinstance(record, StepRecord)), default=0)


def starts(records: list[JournalRecord]) -> list[StartRecord]:
    return [record for record in records if isinstance(record, StartRecord)]


def last_loss(cluster: Cluster) -> float:
    return [record.loss for record in cluster.records() if isinstance(record, ValidationRecord)][-1]


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def check_whole(cluster: Cluster, *, steps: int) -> None:
    """The run has ended with all its steps and sequences."""
    (end,) = [record for record in cluster.records() if isinstance(record, EndRecord)]
    assert (end.step, end.sequences) == (steps, steps * 12), cluster.described()
    outcome = read_outcome(cluster.paths)
    assert outcome is not None and outcome.state is JobState.DONE
    assert read_ledger(cluster.paths.ledger).ticked_s == pytest.approx(end.charged_s, abs=0.5)


@pytest.fixture
def pair(tmp_path: Path, dataset: Path) -> Iterator[Cluster]:
    with Machines(2) as machines:
        yield Cluster(machines, tmp_path, dataset)


def one_machine(folder: Path, dataset: Path, *, steps: int, devices: str) -> Cluster:
    """The same run without any other machine, to its end."""
    folder.mkdir()
    with Machines(1) as machines:
        cluster = Cluster(machines, folder, dataset)
        cluster.end(cluster.train(steps=steps, devices=devices))
    return cluster


def test_two_machines_compute_what_one_does(pair: Cluster, tmp_path: Path, dataset: Path) -> None:
    first, second = pair.train(steps=20, devices="count = 1\nnodes = 2"), pair.add_machine(1)
    pair.end(first)
    pair.end(second)
    check_whole(pair, steps=20)
    assert [start.world_size for start in starts(pair.records())] == [2]
    alone = one_machine(tmp_path / "alone", dataset, steps=20, devices="count = 2")
    assert largest_difference(pair.weights(20), alone.weights(20)) <= TOLERANCE
    assert last_loss(pair) == pytest.approx(last_loss(alone), abs=TOLERANCE)


def test_a_pause_saves_and_both_continue(pair: Cluster) -> None:
    first, second = pair.train(steps=LONG, devices="count = 1\nnodes = 2"), pair.add_machine(1)
    pair.machines.switch.delay_s = 0.1
    pair.wait_for(lambda records: steps_done(records) > 1, what="a step")
    first.send_signal(signal.SIGTERM)
    pair.end(first, status=13)
    pair.machines.switch.delay_s = 0.0
    pair.end(pair.train(steps=LONG, devices="count = 1\nnodes = 2"))
    pair.end(second)
    check_whole(pair, steps=LONG)
    assert len(starts(pair.records())) == 2


def test_a_killed_machine_is_done_without(pair: Cluster, tmp_path: Path, dataset: Path) -> None:
    first = pair.train(steps=LONG, devices="count = 1\nnodes = 2\nmin_nodes = 1")
    pair.add_machine(1)
    pair.wait_for(lambda records: steps_done(records) > 5, what="steps")
    pair.machines.cut(pair.machines[1])
    pair.machines[1].kill_all()
    pair.end(first)
    check_whole(pair, steps=LONG)
    records = pair.records()
    assert [start.world_size for start in starts(records)] == [2, 1], pair.described()
    (restart,) = [record for record in records if isinstance(record, RestartRecord)]
    assert "machine-2 was lost" in restart.cause
    (change,) = [record for record in records if isinstance(record, DevicesRecord)]
    assert (change.before, change.after) == (2, 1)
    # GPU-hours: the first stretch by two ranks, the second by one; the wait for the machine is in neither.
    past = read_progress(pair.paths.journal).past_device_seconds
    assert past.device_s == pytest.approx(2 * change.charged_s)
    assert change.charged_s <= starts(records)[1].charged_s
    alone = one_machine(tmp_path / "alone", dataset, steps=LONG, devices="count = 1")
    assert largest_difference(pair.weights(LONG), alone.weights(LONG)) <= OTHER_COUNT_TOLERANCE


def test_a_partition_that_heals_ends_the_attempt_and_no_more(pair: Cluster, tmp_path: Path, dataset: Path) -> None:
    first, second = pair.train(steps=LONG, devices="count = 1\nnodes = 2"), pair.add_machine(1)
    pair.wait_for(lambda records: steps_done(records) > 5, what="steps")
    pair.machines.cut(pair.machines[1])
    pair.wait_for(lambda records: any(isinstance(each, RestartRecord) for each in records), what="a restart")
    pair.machines.heal(pair.machines[1])
    pair.end(first)
    pair.end(second)
    check_whole(pair, steps=LONG)
    assert [start.world_size for start in starts(pair.records())] == [2, 2]
    alone = one_machine(tmp_path / "alone", dataset, steps=LONG, devices="count = 2")
    assert largest_difference(pair.weights(LONG), alone.weights(LONG)) <= TOLERANCE


def test_a_rank_that_is_killed_on_another_machine_is_named_and_both_go_on(pair: Cluster) -> None:
    first, second = pair.train(steps=LONG, devices="count = 1\nnodes = 2"), pair.add_machine(1)
    pair.wait_for(lambda records: steps_done(records) > 5, what="steps")
    pair.machines[1].kill_one("bertd.train.distributed.worker")
    pair.end(first)
    pair.end(second)
    check_whole(pair, steps=LONG)
    (restart,) = [record for record in pair.records() if isinstance(record, RestartRecord)]
    assert "machine-2: a rank ended with status 137" in restart.cause
    assert [start.world_size for start in starts(pair.records())] == [2, 2]


def test_the_first_machine_is_killed_and_continues_with_the_one_that_waits(pair: Cluster) -> None:
    pair.train(steps=LONG, devices="count = 1\nnodes = 2")
    second = pair.add_machine(1)
    pair.wait_for(lambda records: steps_done(records) > 5, what="steps")
    pair.machines[0].kill_all()
    pair.end(pair.train(steps=LONG, devices="count = 1\nnodes = 2"))
    pair.end(second)
    check_whole(pair, steps=LONG)
    assert [start.world_size for start in starts(pair.records())] == [2, 2]


def test_three_machines_train_over_a_network_that_loses_packets(tmp_path: Path, dataset: Path) -> None:
    with Machines(3) as machines:
        cluster = Cluster(machines, tmp_path, dataset)
        machines.switch.delay_s, machines.switch.loss = 0.005, 0.01
        first = cluster.train(steps=20, devices="count = 1\nnodes = 3")
        # Over IPv6.
        others = [cluster.add_machine(number, address=machines[0].address6) for number in (1, 2)]
        for process in (first, *others):
            cluster.end(process)
        check_whole(cluster, steps=20)
        assert [start.world_size for start in starts(cluster.records())] == [3]


def test_the_runs_folder_is_on_the_first_machine_alone(pair: Cluster, tmp_path: Path) -> None:
    """A run that continues from a checkpoint: the other machine gets it over the network, and keeps nothing."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    first = pair.train(steps=60, devices="count = 1\nnodes = 2\nmin_nodes = 1")
    second = _join_with(pair.machines[1], pair, scratch)
    pair.wait_for(lambda records: steps_done(records) > 5, what="steps")
    first.send_signal(signal.SIGTERM)
    pair.end(first, status=13)
    pair.end(pair.train(steps=60, devices="count = 1\nnodes = 2\nmin_nodes = 1"))
    pair.end(second)
    check_whole(pair, steps=60)
    assert [*scratch.iterdir()] == []


def _join_with(machine: Machine, pair: Cluster, scratch: Path) -> subprocess.Popen[bytes]:
    place = f"{pair.machines[0].address}:{PORT}"
    arguments = ("join", place, "--wait", "5min", "--scratch", scratch)
    return machine.start(*arguments, cwd=scratch.parent, log=pair.logs[1])
