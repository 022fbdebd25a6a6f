from __future__ import annotations

import pytest

from bertd.jobs.runner.restart_policy import JITTER, MAX_RESTARTS, RestartPolicy, max_restarts
from bertd.records import ExitClass


def test_three_restarts_without_a_higher_step_end_in_giving_up() -> None:
    policy: RestartPolicy | None = RestartPolicy(best_step=10)
    for number in range(1, MAX_RESTARTS + 1):
        assert policy is not None
        policy = policy.after_death(step=10)
        assert policy is not None and policy.restarts == number
    assert policy is not None and policy.after_death(step=10) is None


def test_a_higher_step_starts_the_count_again() -> None:
    policy = RestartPolicy(best_step=10, restarts=MAX_RESTARTS)
    after = policy.after_death(step=11)
    assert after is not None
    assert (after.restarts, after.best_step) == (1, 11)


def test_an_attempt_that_ends_below_the_best_step_is_no_progress() -> None:
    assert RestartPolicy(best_step=10, restarts=MAX_RESTARTS).after_death(step=9) is None


def test_a_death_for_want_of_memory_or_disk_is_worth_one_restart() -> None:
    once = RestartPolicy(best_step=10).after_death(step=10, exit_class=ExitClass.RESOURCE)
    assert once is not None
    assert once.after_death(step=10, exit_class=ExitClass.RESOURCE) is None
    assert once.after_death(step=10) is not None


@pytest.mark.parametrize("exit_class", [ExitClass.CONFIGURATION, ExitClass.NUMERIC, ExitClass.DATA])
def test_a_death_that_would_come_again_is_worth_none(exit_class: ExitClass) -> None:
    assert max_restarts(exit_class) == 0
    assert RestartPolicy().after_death(step=10, exit_class=exit_class) is None


@pytest.mark.parametrize(("restarts", "expected_s"), [(1, 5.0), (2, 10.0), (3, 20.0), (9, 300.0)])
def test_the_delay_doubles_up_to_its_bound(restarts: int, expected_s: float) -> None:
    assert RestartPolicy(restarts=restarts).delay_s(jitter_share=0.5) == pytest.approx(expected_s)


def test_the_jitter_spans_its_share_to_both_sides() -> None:
    policy = RestartPolicy(restarts=1)
    assert policy.delay_s(jitter_share=0.0) == pytest.approx(5.0 * (1 - JITTER))
    assert policy.delay_s(jitter_share=1.0) == pytest.approx(5.0 * (1 + JITTER))


def test_an_attempt_that_got_further_is_followed_promptly() -> None:
    after = RestartPolicy(best_step=10, restarts=2).after_death(step=11)
    assert after is not None
    assert after.delay_s(jitter_share=0.5) == pytest.approx(1.0)
    next_one = after.after_death(step=11)
    assert next_one is not None
    assert next_one.delay_s(jitter_share=0.5) == pytest.approx(10.0)
