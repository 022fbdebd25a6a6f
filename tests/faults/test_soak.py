"""Gate row H1: a daemon that has had many jobs and many requests is as light as one that has had a few.

BERTD_SOAK_JOBS=1000 soaks for longer; the first half of the jobs is the warm-up in any case.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from bertd.api.models import EventView
from bertd.jobs.store.lifecycle import ENDED
from tests.daemon.daemon_box import DaemonBox
from tests.faults.invariants import Witness, assert_sound
from tests.faults.tally import Tally
from tests.jobs.fake_ranks import Plan
from tests.waiting import wait_for

NUM_JOBS = int(os.environ.get("BERTD_SOAK_JOBS", "24"))
AT_ONCE = 8
REQUESTS_PER_JOB = 10
GROWTH_BYTES = 6e6
"""Over half the soak; a short one does not reach the cap of what bertd.daemon.metrics.run_metrics keeps of each job."""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[DaemonBox]:
    """A daemon that answers."""
    box = DaemonBox(tmp_path)
    box.plan(Plan(checkpoint_every=2))
    box.start()
    yield box
    box.clean_up()


@dataclass(frozen=True)
class Weight:
    """Resources of the daemon while nothing runs."""

    rss_bytes: int
    fds: int
    threads: int
    children: int


def weigh(box: DaemonBox) -> Weight:
    """Measure the daemon once the last job's runner is gone."""
    assert box.process is not None
    process = psutil.Process(box.process.pid)
    wait_for(lambda: process.children() == [], what="the last runner to end")
    with process.oneshot():
        rss_bytes, fds, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
    return Weight(rss_bytes, fds=fds, threads=threads, children=len(process.children()))


def use(box: DaemonBox, *, jobs: int) -> None:
    """Submit this many jobs, a few at a time, and read every view of the API meanwhile."""
    for start in range(0, jobs, AT_ONCE):
        numbers = [box.submit(steps=4).id for _ in range(min(AT_ONCE, jobs - start))]
        for number in numbers:
            for _ in range(REQUESTS_PER_JOB // 5):
                box.client.status()
                box.client.jobs()
                box.client.job(number)
                box.client.run(number)
                box.client.version()
            stream = box.client.events(since=0)
            assert isinstance(next(stream), EventView)
            stream.close()
        wait_for(
            lambda numbers=numbers: all(box.client.job(number).state in ENDED for number in numbers),  # type: ignore[misc]  # a default binds the loop's
            what="the jobs to end",
        )
        for number in numbers:
            box.client.series(number)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_a_daemon_does_not_grow_with_the_jobs_it_has_had(box: DaemonBox, tally: Tally) -> None:
    witness = Witness()
    use(box, jobs=NUM_JOBS // 2)
    before = weigh(box)
    use(box, jobs=NUM_JOBS - NUM_JOBS // 2)
    after = weigh(box)
    grown = after.rss_bytes - before.rss_bytes
    told = f"{grown / 1e6:.1f} MB, fds {before.fds} to {after.fds}, threads {before.threads} to {after.threads}"
    print(f"{NUM_JOBS} jobs: {told}")
    assert grown < GROWTH_BYTES, told
    assert after.fds <= before.fds + 2, told
    assert after.threads <= before.threads, told
    assert box.stop() == 0
    assert_sound(box.state.root, witness, has_real_checkpoints=False)
    tally.sound()
