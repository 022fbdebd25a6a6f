"""Subcommands that change a job: pause, resume, checkpoint, stop, budget, hold, release, priority; and shutdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.options import HIGHEST_PRIORITY, JobArgument, SocketOption, connect, status_line

if TYPE_CHECKING:
    from bertd.api.models import RunView
    from bertd.records import BudgetRequest, BudgetUnit


def pause(
    id: JobArgument = "@",
    hot: Annotated[
        bool, typer.Option("--hot", help="Suspend between two steps and keep all memory; resumes in under a second.")
    ] = False,
    socket: SocketOption = None,
) -> None:
    """Save a checkpoint, stop the processes and free the devices; no step is lost, nothing more is charged."""
    print(status_line(connect(socket).pause(id, hot=hot)))


def resume(
    id: JobArgument = "@",
    devices: Annotated[
        int | None,
        typer.Option(
            "--devices",
            min=1,
            max=65_536,
            help="Continue on this many devices, more or fewer than before.",
            show_default=False,
        ),
    ] = None,
    socket: SocketOption = None,
) -> None:
    """Put a paused run back into the queue; it continues with the next sequence and the time charged so far.

    On another number of devices a step has the same sequences, and its sums are equal within rounding.
    """
    print(status_line(connect(socket).resume(id, devices=devices)))


def checkpoint(id: JobArgument = "@", socket: SocketOption = None) -> None:
    """Save a checkpoint at the next step and continue training."""
    print(status_line(connect(socket).checkpoint(id)))


def stop(id: JobArgument = "@", socket: SocketOption = None) -> None:
    """End a job for good: a run validates, saves and exports first; a finetuning is cancelled."""
    print(status_line(connect(socket).stop(id)))


def budget(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Run id, name, job number, or @: what runs, else the newest.")
    ],
    hours: Annotated[float | None, typer.Option("--hours", help="Charged hours.", show_default=False)] = None,
    gpu_hours: Annotated[
        float | None, typer.Option("--gpu-hours", help="Charged hours times GPUs.", show_default=False)
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimizer updates.", show_default=False)] = None,
    sequences: Annotated[
        int | None, typer.Option("--sequences", help="Sequences consumed.", show_default=False)
    ] = None,
    socket: SocketOption = None,
) -> None:
    """Extend or shrink a run's budget: the new total, in the recipe's unit. The learning rate continues without a jump.

    Less than what is already spent and the run's end needs is refused: `bertd stop` ends a run.
    """
    from bertd.records import BudgetUnit

    amounts_by_unit = [(BudgetUnit.HOURS, hours), (BudgetUnit.GPU_HOURS, gpu_hours)]
    amounts_by_unit += [(BudgetUnit.STEPS, steps), (BudgetUnit.SEQUENCES, sequences)]
    request = _parse_budget_request([(unit, amount) for unit, amount in amounts_by_unit if amount is not None])
    print(_describe_budget_change(connect(socket).budget(run, request), request))


def _parse_budget_request(amounts: list[tuple[BudgetUnit, float]]) -> BudgetRequest:
    """The budget that the options request.

    Raises:
        BadParameter: not exactly one option, or an invalid amount.
    """
    from pydantic import ValidationError

    from bertd.records import BudgetRequest

    if len(amounts) != 1:
        raise typer.BadParameter("give exactly one of --hours, --gpu-hours, --steps, --sequences")
    unit, amount = amounts[0]
    try:
        return BudgetRequest(unit=unit, amount=amount)
    except ValidationError as error:
        raise typer.BadParameter(f"{amount:g} {unit}: {error.errors()[0]['msg']}") from error


def _describe_budget_change(view: RunView, request: BudgetRequest) -> str:
    from bertd.run.quantities import format_budget_amount
    from bertd.terminal_text import terminal_line

    name, amount_text = terminal_line(view.id), format_budget_amount(request.unit, request.amount)
    if view.budget.amount == request.amount:
        return f"run {name} has a budget of {amount_text}, {view.budget.progress:.1%} of it is spent"
    return f"run {name} gets a budget of {amount_text} at its next step; `bertd show {view.job_id}` shows when it has"


def hold(id: JobArgument = "@", socket: SocketOption = None) -> None:
    """Keep a queued job from starting."""
    print(status_line(connect(socket).hold(id)))


def release(id: JobArgument = "@", socket: SocketOption = None) -> None:
    """Let a held job start."""
    print(status_line(connect(socket).release(id)))


def priority(
    id: JobArgument,
    number: Annotated[
        int,
        typer.Argument(min=-HIGHEST_PRIORITY, max=HIGHEST_PRIORITY, help="Higher goes first; jobs begin with 0."),
    ],
    socket: SocketOption = None,
) -> None:
    """Move a job in the queue. Write `-- -1` for a number below 0."""
    print(status_line(connect(socket).priority(id, number)))


def shutdown(socket: SocketOption = None) -> None:
    """End the daemon, which first pauses running jobs with a checkpoint (see `bertd start --help`)."""
    client = connect(socket)
    pid = client.version().pid
    client.shutdown()
    print(f"the daemon (pid {pid}) is shutting down; what it pauses continues at the next `bertd start`")
