"""`bertd budget`: show or change a run's budget, and say what its ranks answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.completion import complete_run
from bertd.cli.options import JsonOption, SocketOption, connect, print_json

if TYPE_CHECKING:
    from bertd.api.client import Client
    from bertd.api.models import RunView
    from bertd.cli.output.command_answers import Answered
    from bertd.records import BudgetRequest, BudgetUnit
    from bertd.run.amounts.budget_amounts import BudgetAmount

_ANSWER_S = 5.0
"""How long to wait for the ranks, which read the command between two steps."""


def budget(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Run id, name, job number, or @: what runs, else the newest.",
            autocompletion=complete_run,
        ),
    ],
    amount: Annotated[
        str | None,
        typer.Argument(
            metavar="AMOUNT", help="The new total, such as 30h or 5000steps; +2h adds to it.", show_default=False
        ),
    ] = None,
    hours: Annotated[float | None, typer.Option("--hours", help="The same as a number of hours.")] = None,
    gpu_hours: Annotated[float | None, typer.Option("--gpu-hours", help="Charged hours times GPUs.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimizer updates.")] = None,
    sequences: Annotated[int | None, typer.Option("--sequences", help="Sequences consumed.")] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Extend or shrink a run's budget, in the recipe's unit. The learning rate continues without a jump.

    Less than what is already spent and the run's end needs is refused: `bertd stop` ends a run.
    """
    from bertd.records import BudgetUnit

    amounts_by_unit = [(BudgetUnit.HOURS, hours), (BudgetUnit.GPU_HOURS, gpu_hours)]
    amounts_by_unit += [(BudgetUnit.STEPS, steps), (BudgetUnit.SEQUENCES, sequences)]
    asked = _parse_amount(amount, options=[(unit, value) for unit, value in amounts_by_unit if value is not None])
    client = connect(socket)
    request = _build_request(client, run, asked)
    answered = _request_change(client, run, request)
    view = answered.view if answered.record is None else client.run(answered.view.job_id)
    if json:
        print_json(view)
    else:
        print(_describe(view, request, is_answered=answered.record is not None))


def _parse_amount(text: str | None, *, options: list[tuple[BudgetUnit, float]]) -> BudgetAmount:
    """The amount of the argument or of an option.

    Raises:
        BadParameter: not exactly one of them, or it is not an amount.
    """
    from bertd.run.amounts.budget_amounts import EXAMPLES, BudgetAmount, parse_budget_amount

    if len(options) + (text is not None) != 1:
        raise typer.BadParameter(f"give one new budget, such as {EXAMPLES}, or +2h to add to it")
    if text is None:
        ((unit, amount),) = options
        return BudgetAmount(unit=unit, amount=amount, is_relative=False)
    try:
        return parse_budget_amount(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="AMOUNT") from error


def _build_request(client: Client, run: str, asked: BudgetAmount) -> BudgetRequest:
    """The total to ask for.

    Raises:
        BadParameter: it is not above 0.
        RecipeError: a relative amount of another unit than the run's.
    """
    from bertd.errors import RecipeError
    from bertd.records import BudgetRequest
    from bertd.run.budget import MAX_STEPS_OR_SEQUENCES

    total = asked.amount
    if asked.is_relative:
        current = client.run(run).budget
        if current.unit is not asked.unit:
            raise RecipeError(f"budget: {_format_part(asked)}: this run counts {current.unit}; give that")
        total += current.amount
    if not total > 0:
        wanted = _format_part(asked) if asked.is_relative else f"{total:g} {asked.unit}"
        raise typer.BadParameter(
            f"{wanted} leaves no budget; give one above 0, or end the run with `bertd stop`", param_hint="AMOUNT"
        )
    if total > MAX_STEPS_OR_SEQUENCES:
        raise typer.BadParameter(
            f"{total:,g} {asked.unit}: more than any run lasts; give a smaller budget", param_hint="AMOUNT"
        )
    return BudgetRequest(unit=asked.unit, amount=total)


def _format_part(asked: BudgetAmount) -> str:
    from bertd.run.amounts.quantities import format_budget_amount

    return f"{'-' if asked.amount < 0 else '+'}{format_budget_amount(asked.unit, abs(asked.amount))}"


def _request_change(client: Client, run: str, request: BudgetRequest) -> Answered[RunView]:
    """Request the change, and wait a moment for the ranks' answer.

    Raises:
        TransitionError: they refused it, such as one that came when training was over.
    """
    from bertd.cli.output.command_answers import request_and_wait
    from bertd.errors import TransitionError
    from bertd.records import CommandKind

    answered = request_and_wait(
        client,
        lambda: client.budget(run, request),
        verb=CommandKind.BUDGET,
        timeout_s=_ANSWER_S,
        is_done=lambda view: view.budget.amount == request.amount,
    )
    if answered.record is not None and answered.record.outcome == "refused":
        raise TransitionError(f"{answered.view.id}: {answered.record.detail}")
    return answered


def _describe(view: RunView, request: BudgetRequest, *, is_answered: bool) -> str:
    from bertd.run.amounts.quantities import format_budget_amount, format_share
    from bertd.terminal_text import terminal_line

    name, amount_text = terminal_line(view.id), format_budget_amount(request.unit, request.amount)
    if is_answered or view.budget.amount == request.amount:
        return f"run {name} has a budget of {amount_text}, {format_share(view.budget.progress)} of it is spent"
    return (
        f"run {name}: a budget of {amount_text} is requested, not confirmed: its ranks answer at their next step, and "
        f"`bertd show {view.job_id}` shows it then"
    )
