"""bertd.daemon_bench: the bench runs, and its simulations are what they say."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from bertd.cli.output.tables import OutputStyle
from bertd.daemon_bench.__main__ import _PARTS
from bertd.daemon_bench.expected_starts import MACHINE, CheckedStart, MadeUpJob, SimulatedDays, make_jobs
from bertd.daemon_bench.figures import Figure, figures_table, format_value, percentile
from bertd.daemon_bench.month import Sample, month_figures

PLAIN = OutputStyle(width=None, has_color=False, has_unicode=False)


@pytest.mark.slow
def test_a_quick_bench_measures_every_part() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bertd.daemon_bench", "--quick", "--json"], capture_output=True, text=True, check=True
    )
    figures = json.loads(ended.stdout)
    # The daemons write there, too.
    begun = [line.split()[0] for line in ended.stderr.splitlines() if line.strip()]
    assert [word for word in begun if word in _PARTS] == [*_PARTS]
    names = " ".join(figure["name"] for figure in figures)
    for part in ("idle", "bertd status", "3 clients", "3 event streams", "30 queued jobs", "finished runs", "journal"):
        assert part in names
    grown = next(figure for figure in figures if figure["name"].endswith("open files grown"))
    assert grown["value"] == 0 and not grown["is_missed"]
    closed = next(figure for figure in figures if figure["name"].endswith("streams that were closed"))
    assert closed["value"] == 0
    assert all(figure["value"] >= 0 for figure in figures if figure["unit"] in ("ms", "MB", "s"))


def figure(value: float, *, limit: float | None = 10.0) -> Figure:
    return Figure("a figure", value, "ms", limit, "a goal")


def test_a_limit_is_missed_above_it_and_by_what_is_no_number() -> None:
    assert not figure(10.0).is_missed
    assert figure(10.1).is_missed and figure(math.nan).is_missed
    assert not figure(1e9, limit=None).is_missed
    table = figures_table([figure(9.0), figure(11.0), figure(3.0, limit=None)], style=PLAIN).splitlines()
    assert ["met" in line for line in table] == [False, True, False, False]
    assert ["MISSED" in line for line in table] == [False, False, True, False]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0123, "0.0123"), (1.5, "1.50"), (67.42, "67.4"), (12_345.6, "12,346")],
)
def test_values_have_three_digits_that_count(value: float, text: str) -> None:
    assert format_value(value) == text


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3, 1, 2, 4], 0.5) == 2
    assert percentile([3, 1, 2, 4], 0.99) == 4
    assert percentile([5], 0.01) == 5
    assert math.isnan(percentile([], 0.5))


def sample(minute: int) -> Sample:
    return Sample(
        minute, resident_bytes=60_000_000, open_files=9, database_bytes=1 << 20, log_bytes=0, cpu_s=minute / 60
    )


def test_growth_is_counted_from_when_the_caches_are_full() -> None:
    steady = [sample(minute) for minute in range(0, 1500, 50)]
    by_name = {each.name.partition(": ")[2]: each for each in month_figures(steady, days=1, log_bytes=0)}
    assert by_name["memory grown"].value == 0
    assert by_name["processor time of a day"].value == pytest.approx(24)
    leaking = [replace(each, open_files=each.minute, resident_bytes=each.minute * 10_000) for each in steady]
    missed = {each.name for each in month_figures(leaking, days=1, log_bytes=20_000) if each.is_missed}
    assert missed == {f"1 simulated days: {name}" for name in ("memory grown", "open files grown", "the daemon's log")}


def test_simulated_days_are_the_same_for_the_same_seed_and_start_every_job() -> None:
    jobs = make_jobs(3, days=4)
    first, again = SimulatedDays(jobs).run(), SimulatedDays(make_jobs(3, days=4)).run()
    assert first == again and first.checked
    assert len(first.checked) + first.num_at_once + first.num_without == len(jobs)
    assert all(each.actual_t > each.made_t for each in first.checked)
    assert make_jobs(4, days=4) != jobs


def whole_machine(id: int, *, submitted_t: float, believed_s: float, actual_s: float) -> MadeUpJob:
    job = replace(make_jobs(1, days=2)[0].job, id=id, priority=0, num_devices=len(MACHINE.gpus))
    return MadeUpJob(job, submitted_t, believed_s, actual_s)


def test_where_jobs_take_as_long_as_believed_every_expectation_is_right() -> None:
    jobs = [whole_machine(id, submitted_t=float(id), believed_s=1000.0, actual_s=1000.0) for id in range(1, 6)]
    checked = SimulatedDays(jobs).run().checked
    assert [each.error_s for each in checked] == [0.0] * 4
    assert [each.expected_t for each in checked] == [1001.0, 2001.0, 3001.0, 4001.0]


def test_a_job_that_ends_early_makes_the_next_one_early_by_as_much() -> None:
    jobs = [
        whole_machine(1, submitted_t=0.0, believed_s=1000.0, actual_s=400.0),
        whole_machine(2, submitted_t=100.0, believed_s=1000.0, actual_s=1000.0),
    ]
    assert SimulatedDays(jobs).run().checked == [CheckedStart(made_t=100.0, expected_t=1000.0, actual_t=400.0)]
    assert CheckedStart(made_t=100.0, expected_t=1000.0, actual_t=400.0).is_wrong
    assert not CheckedStart(made_t=100.0, expected_t=1000.0, actual_t=1200.0).is_wrong
