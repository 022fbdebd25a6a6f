from __future__ import annotations

import pytest

from bertd.jobs.runner.exit_watch import EXIT_GRACE_S, GONE_GRACE_S, ExitWatch


@pytest.mark.parametrize("began_s", [0.5, 1000.0])
def test_a_launcher_whose_ranks_are_gone_has_the_grace_and_no_more(began_s: float) -> None:
    watch = ExitWatch().observe(are_gone=True, is_final=False, now_s=began_s)
    at_the_limit, after_it = began_s + GONE_GRACE_S, began_s + GONE_GRACE_S + 1
    watch = watch.observe(are_gone=True, is_final=False, now_s=at_the_limit)
    assert watch.overdue_reason(now_s=at_the_limit) is None
    assert "ranks have exited" in (watch.overdue_reason(now_s=after_it) or "")


def test_ranks_that_are_seen_again_begin_a_new_grace() -> None:
    watch = ExitWatch().observe(are_gone=True, is_final=False, now_s=1.0)
    watch = watch.observe(are_gone=False, is_final=False, now_s=2.0)
    assert watch.overdue_reason(now_s=1000.0) is None
    watch = watch.observe(are_gone=True, is_final=False, now_s=1000.0)
    assert watch.overdue_reason(now_s=1000.0 + GONE_GRACE_S) is None


def test_ranks_that_stay_after_their_last_record_have_more_time() -> None:
    watch = ExitWatch().observe(are_gone=False, is_final=True, now_s=1.0)
    assert watch.overdue_reason(now_s=1.0 + EXIT_GRACE_S) is None
    assert "after their last record" in (watch.overdue_reason(now_s=2.0 + EXIT_GRACE_S) or "")
