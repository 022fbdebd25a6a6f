"""Gate rows A1, A3: real ranks are killed and stopped at random steps; the result equals an undisturbed run."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from bertd.records import EndRecord, JobState, RestartRecord
from tests.faults.invariants import Witness, assert_sound
from tests.faults.real_run import RealRun
from tests.faults.tally import Tally, losses_s
from tests.waiting import still_alive, wait_for

pytestmark = pytest.mark.faults
STEPS = 600
SEED = 3
KILLS = 4
SHOT_AT_UNTIL = 0.7
"""Share of the run in which ranks are killed: not after their end record, which would cause no restart."""


@pytest.fixture(scope="module", params=[1, 2])
def reference(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dataset: Path
) -> Iterator[RealRun]:
    """An undisturbed run of one or two ranks."""
    run = RealRun(tmp_path_factory.mktemp("reference") / "1-tiny", dataset, steps=STEPS, count=request.param)
    run.start()
    try:
        assert run.outcome().state is JobState.DONE
        yield run
    finally:
        run.kill()


@pytest.fixture
def run(tmp_path: Path, dataset: Path, reference: RealRun) -> Iterator[RealRun]:
    """The same run, for a test to kill."""
    count = 2 if "count = 2" in reference.paths.recipe.read_text() else 1
    run = RealRun(tmp_path / "1-tiny", dataset, steps=STEPS, count=count)
    yield run
    run.kill()


def assert_untouched(run: RealRun, reference: RealRun) -> None:
    """Weights and the last validation are the reference's, bit for bit."""
    ours, theirs = run.weights(), reference.weights()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    end, expected = run.records[-1], reference.records[-1]
    assert isinstance(end, EndRecord) and isinstance(expected, EndRecord)
    assert (end.step, end.sequences, end.validation_loss) == (STEPS, expected.sequences, expected.validation_loss)


def test_ranks_killed_at_random_steps_end_with_the_same_weights(run: RealRun, reference: RealRun, tally: Tally) -> None:
    chooser, witness = random.Random(SEED), Witness()
    run.start()
    kills = 0
    while kills < KILLS and run.wait_for_progress(attempt=kills + 1) < SHOT_AT_UNTIL * STEPS:
        threading.Event().wait(chooser.uniform(0.0, 0.5))
        ranks = run.ranks()
        tally.fault()
        victim = chooser.choice(ranks)
        victim.send_signal(signal.SIGKILL)
        kills += 1
        assert still_alive(ranks) == []
    assert run.outcome().state is JobState.DONE
    restarts = [record for record in run.records if isinstance(record, RestartRecord)]
    assert kills >= 2 and len(restarts) == kills
    assert all("signal 9 (SIGKILL)" in restart.cause for restart in restarts)
    assert_untouched(run, reference)
    tally.losses_s.extend(losses_s(run.records))
    assert_sound(run.paths.root, witness)
    tally.sound()


def test_a_stopped_rank_is_found_its_stacks_kept_and_the_run_goes_on(
    run: RealRun, reference: RealRun, tally: Tally
) -> None:
    witness = Witness()
    run.start(step_patience_s=5.0)
    run.wait_for_steps(attempt=1, steps=2)
    ranks = run.ranks()
    tally.fault()
    ranks[-1].send_signal(signal.SIGSTOP)
    assert run.outcome().state is JobState.DONE
    # On a busy machine a later attempt may be taken for one that hangs.
    restart = next(record for record in run.records if isinstance(record, RestartRecord))
    assert "no rank made progress for" in restart.cause
    stacks = sorted(run.paths.diagnostics(1).glob("stack-rank-*.txt"))
    assert len(stacks) == len(ranks)
    if len(ranks) == 2:
        # Named by its beats if it was stopped between two steps, else by its state: the other waits in the same step.
        name = f"; rank 1 (pid {ranks[-1].pid}) "
        assert name + "was stopped by a signal" in restart.cause or name + "is the furthest behind" in restart.cause
        assert "in execute_next_plan" in stacks[0].read_text(), "the rank that waited tells where"
    assert "(stopped)" in stacks[-1].read_text()
    assert_untouched(run, reference)
    assert_sound(run.paths.root, witness)
    tally.sound()


def test_a_runner_killed_while_its_ranks_begin_leaves_none(run: RealRun, tally: Tally) -> None:
    run.start()
    wait_for(lambda: bool(run.ranks()), what=f"ranks; log:\n{run.log}")
    assert run.process is not None
    below = psutil.Process(run.process.pid).children(recursive=True)
    tally.fault()
    run.kill()
    assert still_alive(below) == [], "ranks outlived their runner"
    assert run.records == [], "ranks without a runner wrote into the journal"
    tally.sound()


def test_a_killed_runner_leaves_no_rank_and_the_next_goes_on(run: RealRun, reference: RealRun, tally: Tally) -> None:
    witness = Witness()
    run.start()
    run.wait_for_steps(attempt=1, steps=2)
    assert run.process is not None
    below = psutil.Process(run.process.pid).children(recursive=True)
    tally.fault()
    run.kill()
    assert still_alive(below) == [], "ranks outlived their runner"
    run.start()
    assert run.outcome().state is JobState.DONE
    assert_untouched(run, reference)
    tally.losses_s.extend(losses_s(run.records))
    assert_sound(run.paths.root, witness)
    tally.sound()
