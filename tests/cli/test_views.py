"""bertd.cli.views: what is not known is shown as not known."""

from __future__ import annotations

import pytest

from bertd.cli.tables import OutputStyle
from bertd.cli.views import JobDetails, amount, devices_text, job_text, runs_text, status_text
from bertd.records import BudgetUnit, DevicesRecord, JobState
from tests.cli import samples

PLAIN = OutputStyle(width=None, has_color=False, has_unicode=True)


def test_a_run_that_has_not_begun_shows_dashes() -> None:
    budget = samples.run().budget.model_copy(update={"progress": 0.0, "remaining_s": None})
    run = samples.run(state=JobState.STARTING).model_copy(update={"step": None, "validation": None, "budget": budget})
    row = runs_text([run], style=PLAIN).splitlines()[1]
    assert row.split() == ["7-demo", "starting", "░" * 10, "0%", "of", "24h", "00m", "–", "–", "–", "–", "–"]


def test_a_device_that_measures_nothing_shows_dashes() -> None:
    bare = samples.device().model_copy(
        update={"utilization": None, "memory_used_bytes": None, "temperature_c": None, "power_w": None, "job_id": None}
    )
    row = devices_text([bare], style=PLAIN).splitlines()[1]
    assert row.split() == ["GPU-8a0d71b2", "–", "–", "–", "–", "–", "NVIDIA", "H200"]


def test_the_reserve_is_named_and_what_it_is_for() -> None:
    details = JobDetails(job=samples.job(7), run=samples.run(), scores=[])
    assert "reserve" not in job_text(details, now=samples.NOW, style=PLAIN)
    budget = samples.run().budget.model_copy(update={"remaining_s": 750.0, "reserve_s": 40.0})
    run = samples.run().model_copy(update={"budget": budget})
    text = job_text(JobDetails(job=samples.job(7), run=run, scores=[]), now=samples.NOW, style=PLAIN)
    assert "12m 30s left" in text
    assert "reserve     40s after that, for the last validation, save and export" in text


@pytest.mark.parametrize(
    ("unit", "granted", "text"),
    [
        (BudgetUnit.HOURS, 24.0, "24h 00m"),
        (BudgetUnit.HOURS, 1 / 30, "2m 00s"),
        (BudgetUnit.GPU_HOURS, 192.0, "192 GPU-hours"),
        (BudgetUnit.STEPS, 23_000.0, "23,000 steps"),
        (BudgetUnit.SEQUENCES, 1e8, "100,000,000 sequences"),
    ],
)
def test_a_budget_is_named_in_its_unit(unit: BudgetUnit, granted: float, text: str) -> None:
    budget = samples.run().budget.model_copy(update={"unit": unit, "amount": granted})
    assert amount(budget) == text


def test_a_queued_job_shows_what_it_wants_and_no_dates_it_has_not() -> None:
    job = samples.job(8, state=JobState.QUEUED, reason="waits").model_copy(update={"started_t": None})
    text = job_text(JobDetails(job=job, run=None, scores=[]), now=samples.NOW, style=PLAIN)
    assert "needs 2, holds none" in text
    assert "started" not in text
    assert "ended" not in text


def test_a_run_shows_what_saving_costs_and_why_each_checkpoint_is_kept() -> None:
    text = job_text(JobDetails(job=samples.job(), run=samples.run(), scores=[]), now=samples.NOW, style=PLAIN)
    assert (
        "training paused for 0.031% of the time, 0.10 s at the last; written in 8.5 s; 2 left out on a slow disk"
        in text
    )
    assert "step-000012000 at 49.8%, 3.7 GiB: newest, best validation loss 1.9120 of step 12000" in text


def test_a_job_that_is_over_wants_no_devices() -> None:
    job = samples.job(state=JobState.DONE).model_copy(update={"ended_t": samples.NOW})
    text = job_text(JobDetails(job=job, run=None, scores=[]), now=samples.NOW, style=PLAIN)
    assert "devices     2, released" in text
    assert "wants" not in text


def test_status_shows_the_newest_events_only() -> None:
    events = [samples.event(number, text=f"event number {number}.") for number in range(20)]
    status = samples.status().model_copy(update={"events": events})
    text = status_text(status, now=samples.NOW, style=PLAIN)
    assert [number for number in range(20) if f"event number {number}." in text] == [15, 16, 17, 18, 19]


def test_show_says_what_was_chosen_for_a_run_and_why() -> None:
    run = samples.run()
    start = run.start
    assert start is not None
    chosen = {
        "attention": "cuDNN, math",
        "attention_reason": "timed here: cuDNN 1.00 ms, math 3.00 ms",
        "micro_batch_reason": "the fastest of 128 and 256",
    }
    moved = DevicesRecord(t=0.0, step=1200, charged_s=60.0, before=4, after=2)
    run = run.model_copy(update={"start": start.model_copy(update=chosen), "devices_change": moved})

    text = job_text(JobDetails(job=samples.job(), run=run, scores=[]), now=samples.NOW, style=PLAIN)

    assert f"kernels     {start.kernels}: {start.kernels_reason}" in text
    assert "attention   cuDNN, math: timed here: cuDNN 1.00 ms, math 3.00 ms" in text
    assert f"sequences x {start.accumulation}: the fastest of 128 and 256" in text
    assert "ranks       2 since step 1,200, 4 before" in text
