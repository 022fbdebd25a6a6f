"""bertd.daemon.scheduling.job_order: where a moved job goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bertd.daemon.scheduling.job_order import Ordered, Target, decide_move

JOBS = [Ordered(1, 5, 1.0), Ordered(2, 0, 2.0), Ordered(3, 0, 3.0), Ordered(4, -2, 4.0)]


def served(jobs: dict[int, Ordered]) -> list[Ordered]:
    return sorted(jobs.values(), key=lambda job: (-job.priority, job.place, job.id))


def move(jobs: list[Ordered], id: int, target: Target) -> list[Ordered]:
    return served({job.id: job for job in jobs} | decide_move(jobs, id, target, end=float(max(j.id for j in jobs) + 1)))


def test_a_moved_job_gets_the_priority_of_the_job_that_it_is_placed_next_to() -> None:
    assert move(JOBS, 4, Target("before", 3))[2] == Ordered(4, 0, 2.5)
    assert move(JOBS, 1, Target("after", 4))[3] == Ordered(1, -2, 4.5)


def test_at_the_head_and_at_the_end_it_keeps_its_priority_where_that_fits() -> None:
    assert move(JOBS, 4, Target("first"))[0] == Ordered(4, 5, 0.0)
    assert move(JOBS, 1, Target("first")) == [Ordered(1, 5, 4.0), *JOBS[1:]]
    assert move(JOBS, 2, Target("last"))[3].priority == -2


MOVES = st.lists(
    st.tuples(st.integers(0, 99), st.sampled_from(["before", "after", "first", "last"]), st.integers(0, 99)),
    max_size=80,
)


@given(st.lists(st.integers(-1, 1), min_size=1, max_size=7), MOVES, st.lists(st.integers(0, 3), max_size=80))
def test_any_moves_give_the_order_that_was_asked_for_and_leave_later_jobs_behind(
    priorities: list[int], moves: list[tuple[int, str, int]], submissions: list[int]
) -> None:
    jobs = served({id: Ordered(id, priority, float(id)) for id, priority in enumerate(priorities, start=1)})
    for number, (which, side, where) in enumerate(moves):
        if number < len(submissions) and submissions[number] == 3:
            id = max(job.id for job in jobs) + 1
            priority = jobs[-1].priority
            jobs = served({job.id: job for job in [*jobs, Ordered(id, priority, float(id))]})
            assert jobs[-1].id == id
        job, others = jobs[which % len(jobs)], [each for each in jobs if each is not jobs[which % len(jobs)]]
        if not others:
            continue
        other = others[where % len(others)]
        place = {"first": 0, "last": len(others)}.get(side, others.index(other) + (side == "after"))
        asked = [*others[:place], job, *others[place:]]
        target = Target("before" if side == "before" else "after", other.id)
        if side in ("first", "last"):
            target = Target("first" if side == "first" else "last")
        jobs = move(jobs, job.id, target)
        assert [each.id for each in jobs] == [each.id for each in asked]
        assert all(each.place < max(each.id for each in jobs) + 1 for each in jobs)
        others_before = {each.id: each.priority for each in others}
        assert all(each.priority == others_before.get(each.id, each.priority) for each in jobs)
