"""Plan a run: where a budget's seconds go, and how many steps they buy. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.records import BudgetUnit, Record
from bertd.run.amounts.durations import parse_duration
from bertd.run.budget import Budget, training_end
from bertd.run.plan.measurements import Measurements
from bertd.run.plan.network_model import Network, speed_over_network
from bertd.run.recipe.schema import Recipe

_ROUNDS = 20
"""Of finding how long a budget of steps lasts: validations and saves depend on it, and it on them."""


class Account(Record):
    """Where the charged seconds of a run go; they sum to `total_s`."""

    start_s: float
    """Launch, building and the first update, without choosing and compiling."""
    choose_s: float
    compile_s: float
    training_s: float
    validation_s: float
    num_validations: int
    """Between the first one, which is part of the start, and the last one, which is part of the end."""
    save_s: float
    num_saves: int
    end_s: float
    """The last validation, checkpoint and export; for a timed run the reserve that it keeps for them."""

    @property
    def total_s(self) -> float:
        """The whole run."""
        parts = (self.start_s, self.choose_s, self.compile_s, self.training_s, self.validation_s, self.save_s)
        return sum(parts) + self.end_s


class RunPlan(Record):
    """What a budget buys."""

    unit: BudgetUnit
    amount: float
    """The budget, in `unit`."""
    account: Account
    steps: int
    sequences: float
    tokens: float
    """Padding included."""
    epochs: float
    device_hours: float
    exchange_s: float = 0.0
    """Of each step, for the gradients between machines, by a model of the network; 0 on one machine."""
    measurements: Measurements

    @property
    def total_s(self) -> float:
        """Charged seconds of the whole run."""
        return self.account.total_s


@dataclass(frozen=True)
class _Extras:
    """What stands between the steps of a run of some length."""

    num_validations: int
    num_saves: int

    def seconds(self, measured: Measurements) -> float:
        return self.num_validations * measured.validation_s + self.num_saves * measured.save_stall_s


def plan_run(recipe: Recipe, measured: Measurements, *, network: Network | None = None) -> RunPlan:
    """What the recipe's budget buys at this speed; over this network, if it is for several machines.

    A budget that is over before the first step buys none: its plan has 0 steps.
    """
    granted = recipe.granted
    speed = measured.sequences_per_s * recipe.devices.num_ranks / measured.num_devices
    exchange_s = 0.0
    if network is not None:
        exchange_s = network.exchange_s(num_parameters=measured.num_parameters, nodes=recipe.devices.nodes)
        speed = speed_over_network(speed, step_sequences=recipe.batch.sequences, exchange_s=exchange_s)
    if granted.total_s is not None:
        total_s = granted.total_s
        extras = _extras(recipe, measured, total_s=total_s)
        end_s = total_s - training_end(total_s, reserve=measured.reserve_s)
        training_s = max(0.0, total_s - end_s - measured.start_s - extras.seconds(measured))
        sequences = training_s * speed
    else:
        sequences = _granted_sequences(granted, recipe)
        training_s, end_s = sequences / speed, measured.reserve_s
        extras = _Extras(0, 0)
        for _ in range(_ROUNDS):
            total_s = measured.start_s + training_s + extras.seconds(measured) + end_s
            before, extras = extras, _extras(recipe, measured, total_s=total_s)
            if extras == before:
                break
    steps = (
        int(granted.amount)
        if granted.unit is BudgetUnit.STEPS
        else int(sequences * recipe.batch.steps_per_sequence(0.0))
    )
    account = Account(
        start_s=max(0.0, measured.start_s - measured.choose_s - measured.compile_s),
        choose_s=measured.choose_s,
        compile_s=measured.compile_s,
        training_s=training_s,
        validation_s=extras.num_validations * measured.validation_s,
        num_validations=extras.num_validations,
        save_s=extras.num_saves * measured.save_stall_s,
        num_saves=extras.num_saves,
        end_s=end_s,
    )
    return RunPlan(
        unit=granted.unit,
        amount=granted.amount,
        account=account,
        steps=steps,
        sequences=sequences,
        tokens=sequences * recipe.data.sequence_length,
        epochs=sequences / measured.train_sequences if measured.train_sequences else 0.0,
        device_hours=account.total_s * recipe.devices.num_ranks / 3600,
        exchange_s=exchange_s,
        measurements=measured,
    )


def _granted_sequences(granted: Budget, recipe: Recipe) -> float:
    if granted.unit is BudgetUnit.STEPS:
        return granted.amount * recipe.batch.mean_sequences(0.0)
    return granted.amount


def _extras(recipe: Recipe, measured: Measurements, *, total_s: float) -> _Extras:
    """Validations and saves between the first update and the end of training."""
    end_s = training_end(total_s, reserve=measured.reserve_s) if recipe.granted.is_timed else total_s
    section = recipe.validation
    early_end_s = section.early_until * total_s if recipe.granted.is_timed else 0.0
    # The first validation stands in the start. Each other one is due an interval after the end of the one before, and
    # waits for the end of a step.
    late_s = measured.validation_s + recipe.batch.sequences / measured.sequences_per_s / 2
    early_every_s, every_s = parse_duration(section.early_every) + late_s, parse_duration(section.every) + late_s
    last_s, num_early = measured.start_s, 0
    if last_s < early_end_s:
        num_early = int((min(early_end_s, end_s) - last_s) / early_every_s) + 1
        last_s += num_early * early_every_s
    num_later = max(0, int((end_s - last_s) / every_s))
    interval_s = recipe.checkpoint.interval_s(recipe.granted.total_s)
    num_saves = max(0, int((end_s - measured.start_s) / interval_s))
    return _Extras(num_early + num_later, num_saves)
