from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.metrics.curves import RunCurves
from bertd.metrics.decimated_curve import MAX_BINS, DecimatedCurve, Position, decimate
from bertd.records import BudgetRecord, BudgetUnit, DevicesRecord, StartRecord, StepRecord, ValidationRecord
from bertd.run.budget import Budget

HOUR = Budget(unit=BudgetUnit.HOURS, amount=1.0, num_devices=1)


def step(number: int, *, charged_s: float, loss: float = 5.0) -> StepRecord:
    return StepRecord(
        t=0,
        step=number,
        sequences=number,
        charged_s=charged_s,
        progress=charged_s / 3600,
        loss=loss,
        lr=1e-3,
        grad_norm=1,
        sequences_per_s=1,
        tokens_per_s=1,
    )


def start(number: int, *, charged_s: float, attempt: int) -> StartRecord:
    return StartRecord(
        t=0,
        attempt=attempt,
        step=number,
        sequences=number,
        charged_s=charged_s,
        world_size=1,
        device="cpu",
        device_name="x",
        precision="fp32",
        kernels="eager",
        kernels_reason="",
        num_parameters=1,
        micro_batch=1,
        accumulation=1,
        sequence_length=8,
        train_sequences=1,
        validation_sequences=1,
    )


def place(number: int, *, step: int | None = None) -> Position:
    return Position(
        t=1e9 + number,
        charged_s=float(number),
        step=number if step is None else step,
        sequences=2 * number,
        spent=0.0,
    )


def by_step(at: Position) -> float:
    return float(at.step)


VALUES = st.sampled_from([0.0, 1.0, 1.0, 2.0, -3.0, 1e308, -1e308, math.nan, math.inf])


@given(pieces=st.lists(st.lists(VALUES, max_size=50), max_size=30), most_bins=st.integers(2, 9))
def test_many_points_at_once_give_the_same_curve_as_one_by_one(pieces: list[list[float]], most_bins: int) -> None:
    one_by_one, at_once = DecimatedCurve(), DecimatedCurve()
    number = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bertd.metrics.decimated_curve.MAX_BINS", most_bins)
        for values in pieces:
            places = [place(number + n) for n in range(len(values))]
            number += len(values)
            for at, y in zip(places, values, strict=True):
                one_by_one.add(at, y if math.isfinite(y) else math.nan)
            at_once.extend(values, places.__getitem__)
    assert at_once.state().model_dump_json() == one_by_one.state().model_dump_json()


def test_steps_together_give_the_curves_of_each_by_itself() -> None:
    mfus = [None, 0.5, None, math.nan, 0.25]
    steps = [
        step(number, charged_s=float(number), loss=5.0 / (1 + number)).model_copy(update={"mfu": mfu})
        for number, mfu in enumerate(mfus)
    ]
    one_by_one, together = RunCurves(HOUR), RunCurves(HOUR)
    for curves in (one_by_one, together):
        curves.add(start(0, charged_s=0.0, attempt=1), offset=0)
    for record in steps:
        one_by_one.add(record, offset=100)
    together.add_steps(steps, offset=100)
    assert together.state().model_dump_json() == one_by_one.state().model_dump_json()


def test_a_short_curve_is_given_whole() -> None:
    curves = RunCurves(HOUR)
    for number in range(1, 6):
        curves.add(step(number, charged_s=float(number), loss=10.0 - number))
    assert curves.read(columns=["loss"], axis="step", points=100)["loss"] == [(n, 10.0 - n) for n in range(1, 6)]


def test_a_pause_leaves_a_gap_between_what_was_before_and_after() -> None:
    curves = RunCurves(HOUR)
    curves.add(start(0, charged_s=0.0, attempt=1))
    curves.add(step(1, charged_s=1.0))
    curves.add(start(1, charged_s=1.5, attempt=2))
    curves.add(step(2, charged_s=2.0))
    for axis in ("step", "charged_s"):
        ys = [y for _, y in curves.read(columns=["loss"], axis=axis, points=100)["loss"]]
        assert [math.isnan(y) for y in ys] == [False, True, False]
    assert curves.read(columns=["validation"], axis="step", points=100)["validation"] == []


def test_steps_that_a_restart_lost_give_way_to_those_that_replaced_them() -> None:
    curves = RunCurves(HOUR)
    for number in range(1, 9):
        curves.add(step(number, charged_s=float(number), loss=100.0))
    curves.add(start(5, charged_s=8.5, attempt=2))
    for number in range(6, 10):
        curves.add(step(number, charged_s=float(number) + 4, loss=1.0))
    pairs = curves.read(columns=["loss"], axis="step", points=100)["loss"]
    finite = [(x, y) for x, y in pairs if not math.isnan(y)]
    assert finite == [(x, 100.0) for x in range(1, 6)] + [(x, 1.0) for x in range(6, 10)]
    by_time = curves.read(columns=["loss"], axis="charged_s", points=100)["loss"]
    assert len([y for _, y in by_time if not math.isnan(y)]) == 12, "charged time is never lost"


def test_validation_is_a_column_of_its_own() -> None:
    curves = RunCurves(HOUR)
    record = ValidationRecord(
        t=0,
        step=3,
        sequences=3,
        charged_s=360,
        progress=0.1,
        loss=4.0,
        num_tokens=1,
        unigram_loss=6,
        unigram_entropy=6,
        seconds=1,
    )
    curves.add(record)
    assert curves.read(columns=["validation"], axis="progress", points=10) == {"validation": [(0.1, 4.0)]}


def test_another_budget_moves_the_old_points_too() -> None:
    curves = RunCurves(HOUR)
    curves.add(step(1, charged_s=1800.0))
    change = {"before": 1.0, "after": 2.0, "spent": 0.5, "unit": BudgetUnit.HOURS}
    curves.add(BudgetRecord.model_validate({"t": 0, "step": 1, "sequences": 1, "charged_s": 1800.0, **change}))
    curves.add(step(2, charged_s=3600.0))
    pairs = curves.read(columns=["loss"], axis="progress", points=10)["loss"]
    assert pairs == [(0.25, 5.0), (0.5, 5.0)]


def test_a_day_of_steps_stays_bounded_and_keeps_its_extremes() -> None:
    curve = DecimatedCurve()
    for number in range(86_400):
        y = 1000.0 if number == 40_000 else -1000.0 if number == 70_000 else math.sin(number)
        curve.add(place(number), y)
    assert len(curve._bins) <= MAX_BINS
    ys = [y for _, y in decimate(curve.pairs(by_step), points=240)]
    assert len(ys) <= 3 * 240
    assert max(ys) == 1000.0
    assert min(ys) == -1000.0


def test_many_gaps_count_no_value_twice() -> None:
    curve, num_values = DecimatedCurve(), 0
    # Pairs that are merged, and gaps enough that the gaps then have to go.
    for number, y in enumerate([1.0, 1.0, math.nan, 1.0, math.nan] * 210):
        curve.add(place(number), y)
        num_values += not math.isnan(y)
    state = curve.state()
    assert sum(count for count, total in zip(state.counts, state.totals, strict=True) if total == total) == num_values
    assert sum(total for total in state.totals if total == total) == num_values


def test_a_curve_of_nothing_but_gaps_stays_bounded_too() -> None:
    curve = DecimatedCurve()
    for number in range(20_000):
        y = math.nan if number % 2 else float(number)
        curve.add(place(number), y)
    assert len(curve._bins) <= MAX_BINS
    finite = [y for _, y in decimate(curve.pairs(by_step), points=4000) if not math.isnan(y)]
    assert max(finite) == 19_998.0
    assert min(finite) == 0.0


_YS = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), max_size=300)


@given(_YS, st.integers(2, 50))
def test_thinning_keeps_order_extremes_and_gaps(ys: list[float], points: int) -> None:
    pairs = [(float(x), y) for x, y in enumerate(ys)]
    thinned = decimate(pairs, points=points)
    assert [x for x, _ in thinned] == sorted({x for x, _ in thinned})
    assert len(thinned) <= max(points, 3 * (points // 2))
    finite, kept = [y for y in ys if not math.isnan(y)], [y for _, y in thinned if not math.isnan(y)]
    assert (len(kept) > 0) == (len(finite) > 0)
    if finite:
        assert (max(kept), min(kept)) == (max(finite), min(finite))
    assert any(math.isnan(y) for _, y in thinned) == any(math.isnan(y) for y in ys)


@given(_YS, st.sampled_from(["step", "charged_s"]))
def test_a_curve_is_read_in_order_of_x(ys: list[float], axis: str) -> None:
    curve = DecimatedCurve()
    for number, y in enumerate(ys):
        curve.add(place(number, step=number % 50), y)
    xs = [x for x, _ in curve.pairs(by_step if axis == "step" else lambda at: at.charged_s)]
    assert xs == sorted(xs)


@pytest.mark.parametrize("loss", [math.inf, -math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_a_gap(loss: float) -> None:
    curves = RunCurves(HOUR)
    curves.add(step(1, charged_s=1.0, loss=loss))
    ((_, y),) = curves.read(columns=["loss"], axis="step", points=10)["loss"]
    assert math.isnan(y)


def test_gpu_hours_on_the_axis_count_the_devices_of_their_time() -> None:
    # As a daemon reads it that was started after the change: the recipe has the newest number.
    curves = RunCurves(Budget(unit=BudgetUnit.GPU_HOURS, amount=10.0, num_devices=1))
    curves.add(start(0, charged_s=0.0, attempt=1).model_copy(update={"world_size": 8}))
    curves.add(step(1, charged_s=1800.0, loss=3.0))
    curves.add(DevicesRecord(t=0, step=1, charged_s=3600.0, before=8, after=1))
    curves.add(step(2, charged_s=2 * 3600.0, loss=2.0))
    points = curves.read(columns=["loss"], axis="progress", points=100)["loss"]
    assert points == [(0.4, 3.0), (0.9, 2.0)]
