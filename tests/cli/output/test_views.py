"""bertd.cli.output.views: what is not known is shown as not known."""

from __future__ import annotations

import pytest

from bertd.api.models import DeviceProcess, DiskQuotaView, JobView, MarkerGridView, StatusView
from bertd.cli.output.device_table import device_line, device_table, foreign_lines
from bertd.cli.output.expected_times import format_clock
from bertd.cli.output.tables import OutputStyle
from bertd.cli.output.views import amount, job_text, jobs_text, runs_text, status_text
from bertd.jobs.store.lifecycle import ENDED
from bertd.records import BudgetUnit, DevicesRecord, EndRecord, JobKind, JobState, MarkerGridState
from tests.cli import samples
from tui.drawing.formatting import percent

PLAIN = OutputStyle(width=None, has_color=False, has_unicode=True)


def test_a_read_only_daemon_says_so_before_anything_else() -> None:
    version = samples.status().version.model_copy(update={"read_only": "queue.db: the queue is damaged"})
    status = samples.status().model_copy(update={"version": version})
    first, second = status_text(status, now=samples.NOW, style=PLAIN).split("\n\n")[:2]
    assert first.startswith("bertd ")
    assert second == "read-only, as of the last change that could be read: queue.db: the queue is damaged"


def test_a_run_that_has_not_begun_shows_dashes() -> None:
    budget = samples.run().budget.model_copy(update={"progress": 0.0, "remaining_s": None})
    run = samples.run(state=JobState.STARTING).model_copy(update={"step": None, "validation": None, "budget": budget})
    row = runs_text([run], style=PLAIN).splitlines()[1]
    assert row.split() == ["7-demo", "starting", "░" * 10, "0.0%", "of", "24h", "00m", *"––––––"]


def test_a_device_that_measures_nothing_shows_dashes() -> None:
    bare = samples.device().model_copy(
        update={"utilization": None, "memory_used_bytes": None, "temperature_c": None, "power_w": None, "job_id": None}
    )
    row = device_table([bare], style=PLAIN).splitlines()[1]
    assert row.split() == ["0", "GPU-8a0d71b2", "–", "–", "–", "–", "–", "NVIDIA", "H200"]


def test_a_drained_device_says_so_and_foreign_processes_are_named() -> None:
    busy = samples.device("GPU-8a0d71b2-1", drained_by="ada (uid 7)")
    foreign = DeviceProcess(pid=77, user="bob", name="python\x1b[2J", memory_bytes=9 << 30)
    used = samples.device("GPU-11111111-2").model_copy(update={"job_id": None, "foreign_processes": [foreign]})
    assert " 7 drained " in device_table([busy, used], style=PLAIN).splitlines()[1]
    (line,) = foreign_lines([busy, used])
    assert line.startswith("1 GPU-11111111 is used by python") and "bob (pid 77, 9.0 GiB)" in line
    assert "\x1b" not in line
    assert device_line(busy).endswith("drained by ada (uid 7); starts no more jobs; job 7 has it to the end")
    assert device_line(used) == "GPU-11111111-2: in service"


def test_the_reserve_is_named_and_what_it_is_for() -> None:
    assert "reserve" not in job_text(samples.job(7), samples.run(), [], now=samples.NOW, style=PLAIN)
    budget = samples.run().budget.model_copy(update={"remaining_s": 750.0, "reserve_s": 40.0})
    run = samples.run().model_copy(update={"budget": budget})
    text = job_text(samples.job(7), run, [], now=samples.NOW, style=PLAIN)
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
    text = job_text(job, None, [], now=samples.NOW, style=PLAIN)
    assert "needs 2, holds none" in text
    assert "started" not in text
    assert "ended" not in text


def test_a_run_shows_what_saving_costs_and_why_each_checkpoint_is_kept() -> None:
    text = job_text(samples.job(), samples.run(), [], now=samples.NOW, style=PLAIN)
    assert (
        "training paused for 0.031% of the time, 0.10 s at the last; written in 8.5 s; 2 left out on a slow disk"
        in text
    )
    assert "step-000012000 at 49.8%, 3.7 GiB: newest, best validation loss 1.9120 of step 12000" in text


def test_a_job_that_is_over_wants_no_devices() -> None:
    job = samples.job(state=JobState.DONE).model_copy(update={"ended_t": samples.NOW})
    text = job_text(job, None, [], now=samples.NOW, style=PLAIN)
    assert "devices     2, released" in text
    assert "wants" not in text


def test_status_shows_the_newest_events_only() -> None:
    events = [samples.event(number, text=f"event number {number}.") for number in range(20)]
    status = samples.status().model_copy(update={"events": events})
    text = status_text(status, now=samples.NOW, style=PLAIN)
    assert [number for number in range(20) if f"event number {number}." in text] == [15, 16, 17, 18, 19]


def test_status_and_show_say_how_much_of_a_disk_quota_is_used() -> None:
    disk = DiskQuotaView(t=1.0, used_bytes=3 << 30, quota_bytes=4 << 30)
    status = samples.status().model_copy(update={"disk_quota": disk})
    assert "disk: 3.0 GiB of the quota of 4.0 GiB (75%)\n" in status_text(status, now=samples.NOW, style=PLAIN)
    full = status.model_copy(update={"disk_quota": disk.model_copy(update={"used_bytes": 4 << 30})})
    assert "(100%); no new job is accepted" in status_text(full, now=samples.NOW, style=PLAIN)
    run = samples.run().model_copy(update={"disk": disk})
    shown = job_text(samples.job(), run, [], now=samples.NOW, style=PLAIN)
    assert "3.0 GiB of the quota of 4.0 GiB, its folder" in shown


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

    text = job_text(samples.job(), run, [], now=samples.NOW, style=PLAIN)

    assert f"kernels     {start.kernels}: {start.kernels_reason}" in text
    assert "attention   cuDNN, math: timed here: cuDNN 1.00 ms, math 3.00 ms" in text
    assert f"sequences x {start.accumulation}: the fastest of 128 and 256" in text
    assert "ranks       2 since step 1,200, 4 before" in text


def full_queue() -> StatusView:
    """Every state, long names and reasons, and many cancelled jobs."""
    reason = "its runner died (killed, or the machine went down); resumes from its newest checkpoint"
    names = ["demo", "n" * 64]
    jobs = [
        samples.job(id, state=state, reason=reason).model_copy(
            update={
                "name": names[id % 2],
                "run_id": f"{id}-{names[id % 2]}",
                "ended_t": samples.NOW if state in ENDED else None,
                "progress": 0.123,
            }
        )
        for id, state in enumerate([*JobState, *[JobState.CANCELLED] * 40, *[JobState.HELD] * 40], start=100)
    ]
    budget = samples.run().budget.model_copy(update={"reserve_s": 6.0, "unit": BudgetUnit.SEQUENCES, "amount": 1e9})
    runs = [
        samples.run(state=job.state).model_copy(
            update={"id": job.run_id, "job_id": job.id, "reason": reason, "budget": budget}
        )
        for job in jobs
    ]
    return samples.status().model_copy(update={"jobs": jobs, "runs": runs, "num_jobs_by_state": {JobState.HELD: 300}})


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_status_and_show_fit_the_terminal(width: int) -> None:
    style = OutputStyle(width=width, has_color=False, has_unicode=True)
    status = full_queue()
    texts = [
        status_text(status, now=samples.NOW, style=style),
        jobs_text(status.jobs, now=samples.NOW, style=style),
        job_text(status.jobs[0], status.runs[0], [samples.score()], now=samples.NOW, style=style),
    ]
    for line in "\n".join(texts).splitlines():
        assert len(line) <= width or " " not in line[12:], line


def test_the_status_begins_with_what_runs_and_says_how_much_it_leaves_out() -> None:
    lines = status_text(full_queue(), now=samples.NOW, style=PLAIN).splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("JOB"))
    end = next(number for number, line in enumerate(lines) if "jobs shown" in line)
    states = [line.split()[3] for line in lines[begin + 1 : end]]
    live = {"running", "starting", "pausing", "stopping"}
    assert set(states[:4]) == live and not live & set(states[4:])
    assert len(states) == 4 + 10 + 3
    assert lines[end] == "17 of 300 jobs shown; `bertd jobs` lists all"
    assert lines[2].startswith("RUN") and lines[3].split()[1] in live
    assert "jobs shown" not in status_text(samples.status(), now=samples.NOW, style=PLAIN)


def test_the_status_names_the_reserve() -> None:
    budget = samples.run().budget.model_copy(update={"reserve_s": 6.0})
    header, row = runs_text([samples.run().model_copy(update={"budget": budget})], style=PLAIN).splitlines()
    assert row[header.index("RESERVE") :].split()[0] == "6s"


@pytest.mark.parametrize(
    ("progress", "text"), [(0.996, "99.6%"), (0.99999, "99.9%"), (1.0, "100.0%"), (0.3219, "32.2%")]
)
def test_the_share_of_a_budget_is_the_same_everywhere(progress: float, text: str) -> None:
    run = samples.run(state=JobState.DONE)
    run = run.model_copy(update={"budget": run.budget.model_copy(update={"progress": progress, "remaining_s": 0.0})})
    job = samples.job(state=JobState.DONE).model_copy(update={"progress": progress, "ended_t": samples.NOW})
    texts = [
        runs_text([run], style=PLAIN),
        jobs_text([job], now=samples.NOW, style=PLAIN),
        job_text(job, run, [], now=samples.NOW, style=PLAIN),
    ]
    assert all(f"{text} " in each for each in texts)
    assert percent(progress) == text.replace("%", " %"), "the dashboard's"
    assert "s left" not in texts[2] and " 0s" not in texts[0], "a run that is over has no rest"


def test_a_run_says_what_became_of_the_grids_that_it_asks_for() -> None:
    grids = [
        MarkerGridView(marker=0.25, state=MarkerGridState.QUEUED, reason="", grid_job_id=9),
        MarkerGridView(marker=0.5, state=MarkerGridState.WAITING, reason="/glue: no such folder", grid_job_id=None),
        MarkerGridView(marker=1.0, state=MarkerGridState.WAITING, reason="", grid_job_id=None),
    ]
    run = samples.run().model_copy(update={"grids": grids})
    text = job_text(samples.job(), run, [], now=samples.NOW, style=PLAIN)
    assert [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith("grid ")] == [
        "of marker 0.25: job 9",
        "of marker 0.5: waiting: /glue: no such folder",
        "of the run's end: waiting",
    ]


def test_a_job_says_when_it_is_expected_to_start_and_to_end() -> None:
    reason = "finetunes: 12 of 40 trials are over"
    grid = samples.job(kind=JobKind.GRID, reason=reason).model_copy(update={"expected_end_t": samples.NOW + 3900})
    waiting = samples.job(8, state=JobState.QUEUED).model_copy(
        update={"expected_start_t": samples.NOW + 3900, "expected_end_t": samples.NOW + 40 * 86_400}
    )
    soon, far = (format_clock(samples.NOW + later, now=samples.NOW) for later in (3900, 40 * 86_400))
    header, first, second = jobs_text([grid, waiting], now=samples.NOW, style=PLAIN).splitlines()
    starts, ends = header.index("STARTS") + len("STARTS"), header.index("ENDS") + len("ENDS")
    assert (first[:starts].split()[-1], first[:ends].split()[-1]) == (PLAIN.dash, soon.split()[-1])
    assert first[:ends].endswith(soon) and second[:starts].endswith(soon) and second[:ends].endswith(far)
    text = job_text(waiting, None, [], now=samples.NOW, style=PLAIN)
    assert f"expected    starts about {soon} (in 1h 05m), ends about {far} (in 960h 00m)" in text
    assert f"{reason}, takes longer than expected" in jobs_text([grid], now=samples.NOW + 4000, style=PLAIN)


def test_a_run_that_has_ended_shows_no_learning_rate_of_an_earlier_step() -> None:
    end = EndRecord(t=0.0, step=12_040, sequences=1, charged_s=1.0, reason="budget", detail="the budget is spent")
    run = samples.run(state=JobState.DONE).model_copy(update={"end": end})
    text = job_text(samples.job(), run, [], now=samples.NOW, style=PLAIN)
    assert "learning rate" not in text


@pytest.mark.parametrize("kind", [JobKind.FINETUNE, JobKind.PREPARE])
def test_a_job_without_a_budget_shows_how_far_it_is(kind: JobKind) -> None:
    running, over = samples.job(8, kind=kind), samples.job(8, kind=kind, state=JobState.DONE)

    def progress_line(job: JobView) -> str:
        text = job_text(job, None, [], now=samples.NOW, style=PLAIN)
        return next((line for line in text.splitlines() if line.startswith("progress")), "")

    assert progress_line(running) == "progress    50.0%, about 9m 50s left"
    assert progress_line(over.model_copy(update={"progress": 1.0})) == "progress    100.0%"
    assert progress_line(over) == ""


def test_a_run_shows_its_budget_and_a_grid_no_second_estimate() -> None:
    assert "progress " not in job_text(samples.job(), samples.run(), [], now=samples.NOW, style=PLAIN)
    grid = samples.job(8, kind=JobKind.GRID)
    assert "progress    50.0%\n" in f"{job_text(grid, None, [], now=samples.NOW, style=PLAIN)}\n"
