"""Budgets as people write them, for `bertd submit --budget` and `bertd budget`: 24h, 30min, 5000steps, +2h."""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass

from bertd.records import BudgetUnit
from bertd.run.amounts.durations import MAX_DURATION_S, UNITS_S

_PATTERN = re.compile(r"\s*([+-]?)\s*(\d{1,18}(?:\.\d{1,18})?)\s*([a-z_-]+)\s*", re.IGNORECASE)
_OTHER_UNITS = {
    "gpu-hours": BudgetUnit.GPU_HOURS,
    "gpu_hours": BudgetUnit.GPU_HOURS,
    "gpuh": BudgetUnit.GPU_HOURS,
    "steps": BudgetUnit.STEPS,
    "sequences": BudgetUnit.SEQUENCES,
}
EXAMPLES = "24h, 30min, 192gpu-hours, 5000steps or 1000000sequences"


@dataclass(frozen=True)
class BudgetAmount:
    """An amount in the unit of a recipe's budget."""

    unit: BudgetUnit
    amount: float
    """Negative only if it is relative."""
    is_relative: bool
    """Added to a budget, as in +2h; otherwise the total."""


def parse_budget_amount(text: str) -> BudgetAmount:
    """The budget in a text such as `24h` or `+500 steps`.

    Raises:
        ValueError: not a number followed by a unit, with examples; or more than any run lasts.
    """
    match = _PATTERN.fullmatch(text)
    unit_text = match[3].lower() if match else ""
    if match is None or not (unit_text in UNITS_S or unit_text in _OTHER_UNITS):
        raise ValueError(f"{reprlib.repr(text)} is not a budget; write a number and its unit, such as {EXAMPLES}")
    amount = float(match[2])
    if unit_text in UNITS_S:
        unit, amount = BudgetUnit.HOURS, amount * UNITS_S[unit_text] / 3600
        if amount * 3600 > MAX_DURATION_S:
            raise ValueError(
                f"{reprlib.repr(text)} is longer than {MAX_DURATION_S / 3600:,.0f}h; write a shorter budget"
            )
    else:
        unit = _OTHER_UNITS[unit_text]
    return BudgetAmount(unit=unit, amount=-amount if match[1] == "-" else amount, is_relative=bool(match[1]))
