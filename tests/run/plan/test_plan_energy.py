"""Energy of a plan: of a past run on the same GPU where there is one, else of the data sheet, and it says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.records import JobEnergy, StartRecord
from bertd.run.job_energy import write_job_energy
from bertd.run.journal import append_records
from bertd.run.paths import RunPaths
from bertd.run.plan.compare_plans import ComparedPlan, recommend
from bertd.run.plan.measurements import read_measurements
from bertd.run.plan.plan_energy import DevicePower, Price, find_device_power, hours_for, plan_energy
from bertd.run.plan.plan_run import RunPlan, plan_run
from tests.run.plan.journals import SimulatedMachine, make_recipe

A100 = "NVIDIA A100-SXM4-80GB"


def make_past_run(folder: Path, *, watts: float, device: str = A100, measured_s: float = 3600.0) -> None:
    paths = RunPaths(folder)
    paths.root.mkdir(parents=True)
    start = next(each for each in SimulatedMachine().run(make_recipe()) if isinstance(each, StartRecord))
    append_records(paths.journal, [start.model_copy(update={"device_name": device})])
    kwh = watts * measured_s / 3.6e6
    write_job_energy(paths, JobEnergy(t=1.0, gpu_kwh=kwh, measured_s=measured_s, unmeasured_s=0.0))


def test_the_power_is_that_of_a_past_run_on_the_same_gpu(tmp_path: Path) -> None:
    make_past_run(tmp_path / "3-other", watts=50.0, device="NVIDIA H200")
    make_past_run(tmp_path / "4-short", watts=60.0, measured_s=30.0)
    make_past_run(tmp_path / "5-fast", watts=310.0)
    power = find_device_power(A100, runs=tmp_path)
    assert power is not None
    assert power.watts == pytest.approx(310.0)
    assert power.source == "as run 5-fast measured it"


@pytest.mark.parametrize(
    ("name", "watts"),
    [(A100, 400.0), ("h200", 700.0), ("NVIDIA H200 NVL", 600.0), ("A5000", 230.0), ("titan-v", 250.0)],
)
def test_without_one_it_is_the_data_sheets_and_says_so(name: str, watts: float, tmp_path: Path) -> None:
    power = find_device_power(name, runs=tmp_path / "absent")
    assert power is not None
    assert power.watts == watts and "data sheet" in power.source


def test_of_an_unknown_device_nothing_is_said(tmp_path: Path) -> None:
    assert find_device_power("a simulated core", runs=tmp_path) is None


def test_a_damaged_file_is_left_out(tmp_path: Path) -> None:
    make_past_run(tmp_path / "5-fast", watts=310.0)
    RunPaths(tmp_path / "5-fast").energy.write_text("{")
    power = find_device_power(A100, runs=tmp_path)
    assert power is not None and power.watts == 400.0


def test_money_buys_the_hours_whose_energy_costs_it() -> None:
    power, price = DevicePower(watts=500.0, source=""), Price(amount=0.4, currency="EUR")
    hours = hours_for(16.0, num_devices=4, power=power, price=price)
    energy = plan_energy(total_s=hours * 3600, num_devices=4, power=power, price=price)
    assert hours == pytest.approx(20.0)
    assert energy.kwh == pytest.approx(40.0)
    assert energy.cost == pytest.approx(16.0)
    assert energy.currency == "EUR"


def make_plan(*, num_parameters: int, sequences_per_s: float, hours: float = 24.0) -> RunPlan:
    recipe = make_recipe(f"budget.hours={hours}", "batch.sequences=64")
    measured = read_measurements(SimulatedMachine().run(make_recipe()), source="a test")
    speed = {"num_parameters": num_parameters, "sequences_per_s": sequences_per_s}
    return plan_run(recipe, measured.model_copy(update=speed))


def test_the_largest_model_that_reads_enough_is_recommended() -> None:
    plans = [
        ComparedPlan(name="large", plan=make_plan(num_parameters=336_000_000, sequences_per_s=100.0)),
        ComparedPlan(name="base", plan=make_plan(num_parameters=110_000_000, sequences_per_s=400.0)),
        ComparedPlan(name="small", plan=make_plan(num_parameters=30_000_000, sequences_per_s=1500.0)),
    ]
    chosen = recommend(plans)
    assert chosen.name == "base"
    assert "the largest model that reads enough" in chosen.reason and "no forecast" in chosen.reason


def test_where_none_reads_enough_the_nearest_is_recommended() -> None:
    plans = [
        ComparedPlan(name="large", plan=make_plan(num_parameters=336_000_000, sequences_per_s=10.0)),
        ComparedPlan(name="base", plan=make_plan(num_parameters=110_000_000, sequences_per_s=40.0)),
    ]
    assert recommend(plans).name == "base"


def test_a_plan_of_few_steps_is_not_recommended() -> None:
    plans = [
        ComparedPlan(name="huge", plan=make_plan(num_parameters=1000, sequences_per_s=2.0, hours=1.0)),
        ComparedPlan(name="slow", plan=make_plan(num_parameters=900, sequences_per_s=200.0, hours=1.0)),
    ]
    chosen = recommend(plans)
    assert chosen.name == "slow" and "huge: fewer than 1,000 steps" in chosen.reason
