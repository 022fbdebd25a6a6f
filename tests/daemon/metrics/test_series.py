"""Series: every axis, ranges in full resolution, smoothing as stated, and a bound on all that is kept."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.api.models import SeriesAxis
from bertd.daemon.metrics import series
from bertd.daemon.metrics.metrics_follower import MetricsFollower
from bertd.daemon.metrics.series import Series, SeriesRequest, read_series
from bertd.metrics.curve_smoothing import smooth
from bertd.metrics.curves import RunCurves
from bertd.metrics.decimated_curve import MAX_BINS, BinMean, DecimatedCurve, Position
from bertd.metrics.journal_index import MAX_ENTRIES, JournalIndex
from bertd.records import BudgetUnit, DevicesRecord
from bertd.run.budget import Budget
from bertd.run.journal import append_records
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe
from tests.jobs.runner_box import recipe_text
from tests.metrics.test_curves import HOUR, by_step, place, start, step

STEPS = 4_000


@pytest.fixture(scope="module")
def follower(tmp_path_factory: pytest.TempPathFactory) -> MetricsFollower:
    """At the end of a journal whose curves had to be thinned; each record is a step of two sequences of 8 tokens."""
    paths = RunPaths(tmp_path_factory.mktemp("runs") / "1-fake")
    paths.root.mkdir()
    paths.recipe.write_text(recipe_text(steps=STEPS))
    steps = [
        step(number, charged_s=float(number), loss=float(number)).model_copy(
            update={"t": 1e9 + 10 + 2 * number, "sequences": 2 * number}
        )
        for number in range(1, STEPS + 1)
    ]
    begun = start(0, charged_s=0.0, attempt=1).model_copy(update={"t": 1e9})
    append_records(paths.journal, [begun, *steps])
    follower = MetricsFollower(paths.root, recipe=read_recipe(paths.recipe), journal_seen=1 << 40)
    while follower.follow():
        pass
    return follower


def read(
    follower: MetricsFollower,
    axis: SeriesAxis,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    half_life: float | None = None,
) -> Series:
    """More points than there are, so that nothing is thinned but by what is kept."""
    assert follower.curves is not None
    request = SeriesRequest(["loss"], axis, 10_000, low=low, high=high, half_life=half_life)
    return asyncio.run(read_series(follower, follower.curves, request, section_lock=asyncio.Lock()))


@pytest.mark.parametrize(
    ("axis", "first", "last"),
    [
        ("step", 1, STEPS),
        ("sequences", 2, 2 * STEPS),
        ("tokens", 16, 16 * STEPS),
        ("charged_s", 1, STEPS),
        ("wall_s", 12, 10 + 2 * STEPS),
        ("progress", 1 / STEPS, 1),
    ],
)
def test_every_axis_goes_from_the_begin_of_the_run_to_its_end(
    follower: MetricsFollower, axis: SeriesAxis, first: float, last: float
) -> None:
    whole = read(follower, axis)
    assert whole.records_per_bin > 1
    assert whole.columns["loss"][0] == pytest.approx((first, 1.0))
    assert whole.columns["loss"][-1] == pytest.approx((last, float(STEPS)))
    # The same records, found again by their place on this axis.
    scale = last / STEPS if axis != "wall_s" else 2
    low = 1_000 * scale + (10 if axis == "wall_s" else 0)
    part = read(follower, axis, low=low - scale / 4, high=low + 9.25 * scale)
    assert part.records_per_bin == 1
    assert [y for _, y in part.columns["loss"]] == [float(number) for number in range(1_000, 1_010)]


def test_a_range_that_has_too_much_to_read_again_is_given_from_memory(
    follower: MetricsFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MAX_SECTION_BYTES", 100)
    part = read(follower, "step", low=1_000, high=2_000)
    assert part.records_per_bin > 1
    xs = [x for x, _ in part.columns["loss"]]
    assert xs and 1_000 <= xs[0] < 1_010 and 1_990 < xs[-1] <= 2_000


def test_a_range_of_nothing_is_empty(follower: MetricsFollower) -> None:
    assert read(follower, "step", low=-5, high=-1).columns == {"loss": []}
    assert read(follower, "step", low=STEPS + 1, high=STEPS + 9).columns == {"loss": []}


def test_smoothing_a_part_gives_what_smoothing_the_whole_gives_there(follower: MetricsFollower) -> None:
    # Of a line of slope 1 the weighted mean is behind by this much.
    half_life = 20.0
    ratio = 2 ** (-1 / half_life)
    lag = ratio / (1 - ratio)
    part = read(follower, "step", low=2_000, high=2_050, half_life=half_life).smoothed["loss"]
    assert len(part) == 51
    for x, y in part:
        assert y == pytest.approx(x - lag, abs=0.2)
    whole = dict(read(follower, "step", half_life=half_life).smoothed["loss"])
    near = min(whole, key=lambda x: abs(x - 2_025))
    assert whole[near] == pytest.approx(near - lag, abs=4.0), "its bins are of four records"


def test_gpu_hours_before_a_change_of_devices_are_not_read_again() -> None:
    curves = RunCurves(Budget(unit=BudgetUnit.GPU_HOURS, amount=10.0, num_devices=1))
    curves.add(start(0, charged_s=0.0, attempt=1))
    assert curves.can_place_past_points
    curves.add(DevicesRecord(t=0, step=1, charged_s=3600.0, before=8, after=1))
    assert not curves.can_place_past_points
    assert RunCurves(HOUR).can_place_past_points


# ---- Smoothing -----------------------------------------------------------------------------------------


def test_smoothing_is_the_weighted_mean_that_its_docstring_states() -> None:
    means = [BinMean(0.0, 1.0, 1), BinMean(2.0, 5.0, 3), BinMean(3.0, math.nan, 0), BinMean(4.0, 2.0, 1)]
    (_, first), (_, second), (_, gap), (_, last) = smooth(means, half_life=2.0)
    assert first == 1.0
    assert second == pytest.approx((0.5 * 1 + 3 * 5) / (0.5 + 3))
    assert math.isnan(gap)
    assert last == pytest.approx((0.25 * 1 + 0.5 * 3 * 5 + 2) / (0.25 + 1.5 + 1))


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=100), st.floats(0.01, 1e6))
def test_a_smoothed_value_is_between_the_smallest_and_the_largest_before_it(ys: list[float], half_life: float) -> None:
    means = [BinMean(float(x), y, 1) for x, y in enumerate(ys)]
    for number, (_, y) in enumerate(smooth(means, half_life=half_life)):
        assert min(ys[: number + 1]) - 1e-6 <= y <= max(ys[: number + 1]) + 1e-6


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=3 * MAX_BINS))
def test_a_thinned_curve_keeps_the_sum_of_its_values(ys: list[float]) -> None:
    curve = DecimatedCurve()
    for number, y in enumerate(ys):
        curve.add(place(number), y)
    means = curve.means(by_step)
    assert sum(each.count for each in means) == len(ys)
    assert sum(each.mean * each.count for each in means) == pytest.approx(sum(ys), abs=1e-6 * len(ys))


# ---- The index -----------------------------------------------------------------------------------------


def test_the_index_of_a_long_journal_stays_small_and_finds_every_place() -> None:
    index = JournalIndex()
    for number in range(50_000):
        index.add(1_000 * number, Position(t=0, charged_s=0, step=number, sequences=0, spent=0))
    state = index.state()
    assert len(state.offsets) <= MAX_ENTRIES
    for each in (index, JournalIndex(state)):
        for wanted in (0, 1, 777, 25_000, 49_998, 49_999):
            section = each.find(by_step, low=wanted, high=wanted, end=50_000_000)
            assert section is not None
            assert section.begin <= 1_000 * wanted < section.end
            assert section.size_bytes <= 4 * 50_000_000 / MAX_ENTRIES


def test_a_section_has_all_passes_over_its_steps(tmp_path: Path) -> None:
    index = JournalIndex()
    for number, at_step in enumerate([0, 10, 20, 10, 20, 30]):
        index.add(100 * number, Position(t=0, charged_s=0, step=at_step, sequences=0, spent=0))
    section = index.find(by_step, low=12, high=15, end=600)
    assert section is not None and (section.begin, section.end) == (100, 400)


def test_positions_are_of_the_whole_run_and_name_the_ends_of_time_that_was_not_charged() -> None:
    curves = RunCurves(Budget(BudgetUnit.STEPS, STEPS, 1))
    curves.add(start(0, charged_s=0.0, attempt=1).model_copy(update={"t": 1e9}))
    paused_after, pause_s = 2_000, 3_600.0
    for number in range(1, STEPS + 1):
        late = pause_s if number > paused_after else 0.0
        at = step(number, charged_s=float(number), loss=1.0 + number % 7)
        curves.add(at.model_copy(update={"t": 1e9 + number + late, "sequences": 2 * number}))
    positions = curves.read_positions(points=40)
    assert positions.began_t == 1e9
    assert 30 <= len(positions.t) <= 60
    assert positions.t == sorted(set(positions.t))
    assert positions.progress == pytest.approx([number / STEPS for number in positions.step])
    assert positions.sequences == [2 * number for number in positions.step]
    spans = zip(positions.t, positions.charged_s, positions.t[1:], positions.charged_s[1:], strict=False)
    uncharged = [(after - before) - (charged - spent) for before, spent, after, charged in spans]
    assert [each for each in uncharged if each > 1] == pytest.approx([pause_s])
    assert any(at <= paused_after < after for at, after in zip(positions.step, positions.step[1:], strict=False))


def test_positions_come_only_where_they_are_asked_for(follower: MetricsFollower) -> None:
    assert follower.curves is not None
    request = SeriesRequest(["loss"], "step", 100, low=10, high=20, has_positions=True)
    given = asyncio.run(read_series(follower, follower.curves, request, section_lock=asyncio.Lock()))
    assert read(follower, "step").positions is None
    assert given.positions is not None
    assert given.positions.step[0] < 10 and given.positions.step[-1] == STEPS
