"""Dialog that changes a run's budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from textual.app import ComposeResult

from bertd.api.models import RunView
from bertd.records import BudgetRequest, BudgetUnit
from bertd.run.amounts.budget_amounts import parse_budget_amount
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_budget_amount
from bertd.run.budget import MAX_STEPS_OR_SEQUENCES
from tui.actions.action_costs import CostRow
from tui.drawing.formatting import clock_near, count, percent
from tui.screens.forms.form import FieldError, Form, labeled_field

_FIELD = "amount"


class BudgetForm(Form[RunView]):
    """Shows at each key what the new amount would mean."""

    HINT = "enter: change it, esc: cancel"

    def __init__(
        self,
        run: RunView,
        *,
        change: Callable[[str, BudgetRequest], RunView],
        clock: Callable[[], float],
        devices: int,
        host: str = "",
    ) -> None:
        super().__init__(host=host)
        self._run, self._change, self._clock, self._devices = run, change, clock, devices

    @property
    def title_text(self) -> str:
        return f"Budget of {self._run.id}"

    @property
    def notes(self) -> Sequence[str]:
        budget = self._run.budget
        spent = format_budget_amount(budget.unit, budget.spent, format_amount=count)
        whole = format_budget_amount(budget.unit, budget.amount, format_amount=count)
        return [f"{whole}, of which {spent} are spent. The learning rate continues without a jump."]

    def fields(self) -> ComposeResult:
        yield from labeled_field("New total", _FIELD, placeholder="30h, or +2h to add, -30min to take away")

    def read(self) -> Callable[[], RunView]:
        return partial(self._change, self._run.id, self._request())

    def read_estimate(self) -> Callable[[], Sequence[CostRow]]:
        request, now = self._request(), self._clock()
        return lambda: budget_costs(self._run, request, now=now, devices=self._devices)

    def _request(self) -> BudgetRequest:
        """The total that is asked for.

        Raises:
            FieldError: it is no amount, not in the run's unit, or nothing is left.
        """
        budget, text = self._run.budget, self.value(_FIELD)
        try:
            asked = parse_budget_amount(text)
        except ValueError as error:
            raise FieldError(_FIELD, str(error)) from error
        if asked.unit is not budget.unit:
            raise FieldError(_FIELD, f"{text}: this run counts {budget.unit}; give that.")
        total = asked.amount + (budget.amount if asked.is_relative else 0.0)
        if total <= budget.spent:
            spent = format_budget_amount(budget.unit, budget.spent)
            raise FieldError(_FIELD, f"{text} is less than what is spent, {spent}; stop the run to end it.")
        if total > MAX_STEPS_OR_SEQUENCES:
            raise FieldError(_FIELD, f"{text}: more than any run lasts; give a smaller budget.")
        return BudgetRequest(unit=budget.unit, amount=total)


def budget_costs(run: RunView, request: BudgetRequest, *, now: float, devices: int) -> list[CostRow]:
    """What a new total means at the run's present speed. Pure."""
    budget = run.budget
    change = request.amount - budget.amount
    sign = "+" if change >= 0 else "-"
    rows = [
        CostRow(
            "total",
            f"{format_budget_amount(request.unit, request.amount)}, "
            f"{sign}{format_budget_amount(request.unit, abs(change))}; "
            f"{percent(budget.spent / request.amount)} of it is spent then",
        )
    ]
    added_s = _added_seconds(run, change)
    if added_s is None or budget.remaining_s is None:
        return [*rows, CostRow("end", "not known: the run has not measured its speed yet")]
    left_s = max(0.0, budget.remaining_s + added_s)
    rows.append(
        CostRow(
            "end",
            f"{format_duration(left_s)} of training left, until {clock_near(now + left_s, now=now)} if nothing pauses "
            f"it; before {clock_near(now + budget.remaining_s, now=now)}",
        )
    )
    if devices and added_s:
        verb = "keeps" if added_s > 0 else "gives back"
        rows.append(
            CostRow(
                "devices", f"{verb} {devices} for {format_duration(abs(added_s))} {'more' * (added_s > 0)}".rstrip()
            )
        )
    if run.step is not None and budget.projected_step is not None and budget.remaining_s:
        steps_per_s = (budget.projected_step - run.step.step) / budget.remaining_s
        rows.append(
            CostRow(
                "steps",
                f"about {round(run.step.step + left_s * steps_per_s):,} at the end, before {budget.projected_step:,}",
            )
        )
    return rows


def _added_seconds(run: RunView, change: float) -> float | None:
    """The change as seconds of training; None if the speed is not known."""
    budget, step = run.budget, run.step
    match budget.unit:
        case BudgetUnit.HOURS:
            return change * 3600
        case BudgetUnit.GPU_HOURS:
            return change * 3600 / run.start.world_size if run.start is not None else None
        case BudgetUnit.SEQUENCES:
            return change / step.sequences_per_s if step is not None and step.sequences_per_s else None
        case BudgetUnit.STEPS:
            left = budget.amount - budget.spent
            return change / left * budget.remaining_s if left > 0 and budget.remaining_s else None
