"""Budgets in money: `bertd plan --budget 20EUR`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import typer

from bertd.daemon.configuration.sources import default_sources, read_configuration
from bertd.errors import ConfigurationError
from bertd.program import print_note
from bertd.run.amounts.budget_amounts import parse_budget_amount
from bertd.run.paths import StatePaths, default_state_dir
from bertd.run.plan.measurements import Measurements
from bertd.run.plan.plan_energy import DevicePower, PlanEnergy, Price, find_device_power, hours_for, plan_energy
from bertd.run.plan.plan_run import RunPlan

_MONEY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(€|\$|£|[A-Z]{3})\s*|\s*(€|\$|£)\s*(\d+(?:\.\d+)?)\s*")
_SYMBOLS = {"€": "EUR", "$": "USD", "£": "GBP"}
_OPTION = "--budget"
MEASURED_BUDGET = "24h"
"""For the measurement, of which the hours are not known before the power is."""


@dataclass(frozen=True)
class Money:
    """An amount in a currency."""

    text: str
    amount: float
    currency: str


def parse_money(budget: str | None) -> Money | None:
    """The money in a budget; None if it is none, or has another unit."""
    match = None if budget is None else _MONEY.fullmatch(budget)
    if budget is None or match is None:
        return None
    try:
        parse_budget_amount(budget)
    except ValueError:
        unit = match[2] or match[3]
        return Money(budget.strip(), float(match[1] or match[4]), _SYMBOLS.get(unit, unit))
    return None


def read_price() -> Price | None:
    """That of the configuration; None if it has none."""
    power = read_configuration(default_sources()).values.power
    return None if power.price is None else Price(amount=power.price, currency=power.currency)


def require_price(money: Money) -> Price:
    """The price by which money becomes hours.

    Raises:
        BadParameter: there is none, or it is in another currency.
    """
    price = read_price()
    if price is None:
        raise typer.BadParameter(
            f"{money.text}: no price of electricity is configured; write `price = 0.30` (of a kWh) under [power] in "
            "bertd.toml, or give hours",
            param_hint=_OPTION,
        )
    if price.currency.upper() != money.currency:
        raise typer.BadParameter(
            f"{money.text}: the configured price is in {price.currency}; give {price.currency}, or hours",
            param_hint=_OPTION,
        )
    return price


def hours_of_money(money: Money, price: Price, measured: Measurements, *, num_devices: int) -> str:
    """The budget in hours.

    Raises:
        BadParameter: what a device draws is not known, or the price is 0.
    """
    power = power_of(measured)
    if power is None:
        raise typer.BadParameter(
            f"{money.text}: no run has measured what a {measured.device_name} draws, and no data sheet of it is kept "
            "here; give hours",
            param_hint=_OPTION,
        )
    hours = hours_for(money.amount, num_devices=num_devices, power=power, price=price)
    if not math.isfinite(hours):
        raise typer.BadParameter(f"{money.text}: the configured price is 0; give hours", param_hint=_OPTION)
    return f"{hours:.6f}h"


def power_of(measured: Measurements) -> DevicePower | None:
    """What one of the devices draws."""
    return find_device_power(measured.device_name, runs=StatePaths(default_state_dir()).runs)


def energy_of(plan: RunPlan, *, num_devices: int) -> PlanEnergy | None:
    """Of a plan; None where the power of its devices is not known."""
    power = power_of(plan.measurements)
    if power is None:
        return None
    try:
        price = read_price()
    except ConfigurationError as error:
        print_note(f"{error}; the plan has no cost")
        price = None
    return plan_energy(total_s=plan.total_s, num_devices=num_devices, power=power, price=price)
