from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.daemon.scheduling.conditions.dependency_check import OtherJob, check_dependencies, is_met
from bertd.jobs.store.lifecycle import ENDED
from bertd.records import Dependency, DependencyCondition, JobState

DONE = Dependency(on_job_id=3, condition=DependencyCondition.DONE)
ANY = Dependency(on_job_id=3, condition=DependencyCondition.ENDED)
HALF = Dependency(on_job_id=3, condition=DependencyCondition.MARKER, marker=0.5)


def other(state: JobState, progress: float | None = None) -> OtherJob:
    return OtherJob(3, "prep", state, progress)


@pytest.mark.parametrize("state", sorted(set(JobState) - ENDED))
@pytest.mark.parametrize("dependency", [DONE, ANY, HALF])
def test_a_job_waits_while_the_other_may_still_reach_it(state: JobState, dependency: Dependency) -> None:
    verdict = check_dependencies(9, [(dependency, other(state, 0.3))])
    assert verdict.waits_for.startswith("waits for job 3 (prep) to ")
    assert str(state) in verdict.waits_for
    assert not verdict.may_start and not verdict.broken


@pytest.mark.parametrize("state", sorted(ENDED))
def test_after_a_job_is_over(state: JobState) -> None:
    assert check_dependencies(9, [(ANY, other(state))]).may_start
    verdict = check_dependencies(9, [(DONE, other(state))])
    assert verdict.may_start == (state is JobState.DONE)
    assert verdict.broken == (() if state is JobState.DONE else (3,))


def test_what_broke_names_the_job_its_state_and_both_ways_out() -> None:
    verdict = check_dependencies(9, [(DONE, other(JobState.FAILED))])
    assert verdict.broken_reason == (
        "held, since job 3 (prep) failed: `bertd release 9` starts it all the same, `bertd stop 9` cancels it"
    )
    cancelled = check_dependencies(9, [(DONE, other(JobState.CANCELLED))])
    assert "job 3 (prep) was cancelled" in cancelled.broken_reason
    early = check_dependencies(9, [(HALF, other(JobState.DONE, 0.31))])
    assert "job 3 (prep) ended at 31.0% of its budget, before 50.0%" in early.broken_reason


def test_a_marker_is_met_as_soon_as_it_is_spent_whatever_happens_to_the_run_then() -> None:
    for state in JobState:
        assert check_dependencies(9, [(HALF, other(state, 0.5))]).may_start
    assert "32.0% so far, running" in check_dependencies(9, [(HALF, other(JobState.RUNNING, 0.32))]).waits_for


@given(
    st.lists(
        st.tuples(
            st.sampled_from([DONE, ANY, HALF]),
            st.sampled_from(JobState),
            st.none() | st.floats(0, 1),
        ),
        max_size=5,
    )
)
def test_a_job_starts_only_if_each_dependency_is_met_and_is_held_if_one_never_can_be(
    drawn: list[tuple[Dependency, JobState, float | None]],
) -> None:
    pairs = [(dependency, other(state, progress)) for dependency, state, progress in drawn]
    verdict = check_dependencies(9, pairs)
    assert verdict.may_start == all(is_met(*pair) for pair in pairs)
    assert bool(verdict.broken) == any(each.state in ENDED and not is_met(dep, each) for dep, each in pairs)
    assert bool(verdict.broken) == bool(verdict.broken_reason)
    assert not (verdict.waits_for and verdict.broken)
