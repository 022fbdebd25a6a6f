"""Moving jobs in the queue of a real daemon."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bertd.errors import TransitionError, UnknownJobError
from bertd.jobs.store.lifecycle import ENDED
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox


def order(box: DaemonBox) -> list[int]:
    waiting = [box.client.job(job.id) for job in box.client.jobs() if job.state is JobState.QUEUED]
    return [job.id for job in sorted(waiting, key=lambda job: job.position or 0)]


def test_moves_survive_kill_9_are_audited_and_refused_for_what_does_not_wait(box: DaemonBox) -> None:
    client = box.client
    client.drain("cpu")
    one, two, three, urgent = (client.submit(box.pretraining(priority=priority)).id for priority in (0, 0, 0, 5))
    assert order(box) == [urgent, one, two, three]
    moved = client.move(three, to="before", job=two)
    assert (moved.position, moved.priority) == (3, 0)
    assert client.move(one, to="first").priority == 5
    box.kill()
    box.start()
    assert order(box) == [one, urgent, three, two]
    assert client.move(urgent, to="last").priority == 0
    assert order(box) == [one, three, two, urgent]
    assert client.audit()[0].outcome == "done: last"
    later = client.submit(box.pretraining()).id
    assert order(box)[-1] == later
    assert client.priority(three, 5).position == 2, "where it had been moved to counts no more"
    with pytest.raises(TransitionError, match="itself"):
        client.move(two, to="before", job=two)
    with pytest.raises(UnknownJobError):
        client.move(two, to="after", job=999)
    client.stop(two)
    assert client.job(two).state in ENDED
    with pytest.raises(TransitionError, match="no place in the queue"):
        client.move(two, to="first")
    with pytest.raises(TransitionError, match=f"job {two}: is cancelled"):
        client.move(one, to="after", job=two)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda number: client.move((one, three)[number % 2], to="first"), range(20)))
    assert sorted(order(box)) == sorted([one, three, urgent, later])
    box.clear()
