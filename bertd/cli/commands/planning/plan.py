"""`bertd plan`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.completion import complete_job, complete_recipe, complete_set
from bertd.cli.options import JsonOption, SocketOption, connect, print_json

if TYPE_CHECKING:
    from bertd.cli.commands.planning.run_plan import PlanAnswer
    from bertd.run.plan.measurements import Measurements
    from bertd.run.plan.network_model import Network
    from bertd.run.recipe.schema import Recipe


def plan(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, or the name of a recipe of bertd.",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Override one value; may be repeated.",
            show_default=False,
            autocompletion=complete_set,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            "--for",
            metavar="AMOUNT",
            help="The budget: 90min, 24h, 5000steps, ... or 20EUR.",
            show_default=False,
        ),
    ] = None,
    until_steps: Annotated[
        int | None,
        typer.Option("--until-steps", metavar="N", min=1, help="How long so many steps take.", show_default=False),
    ] = None,
    until_loss: Annotated[
        float | None,
        typer.Option(
            "--until-loss",
            metavar="NATS",
            min=0.0,
            help="How long it takes to a validation loss, by runs of this recipe that have finished here.",
            show_default=False,
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Take the figures of a run that has trained, or of a folder of one; nothing is measured.",
            autocompletion=complete_job,
            show_default=False,
        ),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            "--devices",
            "--gpus",
            metavar="GPUS",
            help="Estimate for GPUs that are not here, such as 8xA5000 or h200-8, from their data sheet.",
            show_default=False,
        ),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            "--nodes",
            metavar="N",
            min=1,
            max=1024,
            help="So many machines like this one, or with the GPUs of --devices each.",
            show_default=False,
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network", metavar="RATE", help="Between the machines, such as 25G for 25 Gbit/s.", show_default=False
        ),
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            metavar="FOLDER",
            help="On the disk that runs are on; what is written there is deleted.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            metavar="RECIPE|KEY=VALUE,...",
            help="Another recipe, or other values of this one, at the same budget; may be repeated. Each is measured.",
            show_default=False,
        ),
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a budget will buy: steps, epochs, where its seconds go, memory, disk, and what is doubtful.

    The recipe is trained for a minute on this machine to measure it, which takes up to two minutes; nothing is queued.
    With --devices nothing is measured.

    Raises:
        BadParameter: two budgets are given, or --until-loss or --nodes with what they do not go with.
    """
    from bertd.cli.commands.planning.money import MEASURED_BUDGET, hours_of_money, parse_money, require_price
    from bertd.cli.commands.planning.run_plan import make_plan_answer
    from bertd.cli.commands.submitting.resolve_recipe import resolve_recipe

    between = _parse_network(network, nodes=nodes)
    set_ = [*(set_ or []), *([] if nodes is None else [f"devices.nodes={nodes}"])]
    if compare and nodes is not None:
        raise typer.BadParameter("leave it out: compare with --compare devices.nodes=1", param_hint="--nodes")
    if until_steps is not None and budget is not None:
        raise typer.BadParameter("give --budget or --until-steps, not both", param_hint="--until-steps")
    if until_steps is not None:
        budget = f"{until_steps}steps"
    if until_loss is not None:
        if budget is not None or compare or devices is not None:
            raise typer.BadParameter(
                "leave --budget, --until-steps, --compare and --devices out", param_hint="--until-loss"
            )
        budget = _budget_to_loss(until_loss, recipe, settings=set_, from_=from_, socket=socket)
    if compare:
        _compare(
            recipe,
            compare,
            settings=set_,
            budget=budget,
            devices=devices,
            scratch=scratch,
            socket=socket,
            json=json,
        )
        return
    if devices is not None:
        _plan_by_datasheet(
            recipe, devices=devices, settings=set_, budget=budget, from_=from_, network=between, json=json
        )
        return
    money = parse_money(budget)
    price = None if money is None else require_price(money)
    first = budget if money is None else MEASURED_BUDGET
    resolved = resolve_recipe(recipe, settings=set_, budget=first, name=None).recipe
    beside: Path | None = None
    if from_ is None:
        folder = _scratch_folder(scratch)
        measured = _measure(resolved, scratch=folder, socket=socket)
    else:
        from bertd.cli.commands.planning.measured_run import measure_past_run

        past = measure_past_run(from_, recipe=resolved, client=connect(socket))
        measured, beside = past.measurements, past.folder
        folder = scratch or past.folder
    if money is not None and price is not None:
        hours = hours_of_money(money, price, measured, num_devices=resolved.devices.num_ranks)
        resolved = resolve_recipe(recipe, settings=set_, budget=hours, name=None).recipe
    answer = make_plan_answer(resolved, measured, folder=folder, beside=beside, network=between)
    _print_plan(resolved, answer, json=json)


def _parse_network(text: str | None, *, nodes: int | None) -> Network | None:
    """The network of --network.

    Raises:
        BadParameter: it is not one, or goes with one machine, or several machines have none.
    """
    from bertd.run.plan.network_model import parse_network

    if text is None:
        if nodes is not None and nodes > 1:
            raise typer.BadParameter("give --network, such as --network 25G, with it", param_hint="--nodes")
        return None
    if nodes is None:
        raise typer.BadParameter("give --nodes N with it", param_hint="--network")
    try:
        return parse_network(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--network") from error


def _budget_to_loss(target: float, recipe: str, *, settings: list[str], from_: str | None, socket: Path | None) -> str:
    """The steps that are expected to reach a loss, as a budget; raises as `steps_until_loss`."""
    from bertd.cli.commands.planning.finished_runs import find_finished_runs, steps_until_loss
    from bertd.cli.commands.planning.measured_run import find_run_folder
    from bertd.cli.commands.submitting.resolve_recipe import resolve_recipe

    resolved = resolve_recipe(recipe, settings=settings, budget=None, name=None).recipe
    beside = None if from_ is None else find_run_folder(from_, client=connect(socket))
    steps = steps_until_loss(target, resolved, find_finished_runs(resolved, beside=beside))
    return f"{steps}steps"


def _compare(
    recipe: str,
    others: list[str],
    *,
    settings: list[str],
    budget: str | None,
    devices: str | None,
    scratch: Path | None,
    socket: Path | None,
    json: bool,
) -> None:
    """Plan several recipes, or several values of one, at one budget.

    Raises:
        BadParameter: the budget is in money.
    """
    from bertd.cli.commands.planning.compare import ComparisonAnswer, Variant, comparison_text, parse_variant
    from bertd.cli.commands.planning.money import parse_money
    from bertd.cli.commands.planning.run_plan import make_plan_answer, plan_by_datasheet
    from bertd.cli.commands.submitting.resolve_recipe import resolve_recipe
    from bertd.run.plan.datasheet_estimate import parse_planned_devices

    if parse_money(budget) is not None:
        raise typer.BadParameter("compare at hours: each plan's watts may differ", param_hint="--budget")
    variants = [Variant(recipe, recipe, ()), *(parse_variant(each, recipe=recipe) for each in others)]
    answers = []
    for variant in variants:
        values = [*settings, *variant.settings]
        if devices is not None:
            try:
                planned = parse_planned_devices(devices)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="--devices") from error
            _, answer = plan_by_datasheet(variant.recipe, planned, settings=values, budget=budget)
        else:
            resolved = resolve_recipe(variant.recipe, settings=values, budget=budget, name=None).recipe
            folder = _scratch_folder(scratch)
            answer = make_plan_answer(resolved, _measure(resolved, scratch=folder, socket=socket), folder=folder)
        answers.append(answer.model_copy(update={"name": variant.name}))
    comparison = ComparisonAnswer.of(answers)
    if json:
        print_json(comparison)
    else:
        print(comparison_text(comparison))


def _print_plan(recipe: Recipe, answer: PlanAnswer, *, json: bool) -> None:
    from bertd.cli.commands.planning.run_plan import plan_answer_text

    if json:
        print_json(answer)
    else:
        print(plan_answer_text(recipe, answer))


def _plan_by_datasheet(
    recipe: str,
    *,
    devices: str,
    settings: list[str],
    budget: str | None,
    from_: str | None,
    network: Network | None,
    json: bool,
) -> None:
    """Plan for GPUs that are not here; the data set need not be here either.

    Raises:
        BadParameter: the GPUs are not known, or --from is given, too.
    """
    from bertd.cli.commands.planning.run_plan import plan_by_datasheet
    from bertd.run.plan.datasheet_estimate import parse_planned_devices

    if from_ is not None:
        raise typer.BadParameter("give --from or --devices, not both", param_hint="--devices")
    try:
        planned = parse_planned_devices(devices)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--devices") from error
    resolved, answer = plan_by_datasheet(recipe, planned, settings=settings, budget=budget, network=network)
    _print_plan(resolved, answer, json=json)


def _scratch_folder(scratch: Path | None) -> Path:
    """Where runs are, if this user may write there, so that the disk is the same; else the temporary folder."""
    import os
    import tempfile

    from bertd.run.paths import default_state_dir

    if scratch is not None:
        return scratch.absolute()
    state_dir = default_state_dir()
    return state_dir if os.access(state_dir, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def _measure(recipe: Recipe, *, scratch: Path, socket: Path | None) -> Measurements:
    from bertd.cli.commands.planning.free_devices import choose_free_devices
    from bertd.cli.commands.planning.rehearsal import Rehearsal

    def show(text: str) -> None:
        print(f"{recipe.run.name}: {text}", file=sys.stderr, flush=True)

    choice = choose_free_devices(recipe, client=connect(socket, timeout_s=5.0))
    if choice.warning:
        show(choice.warning)
    show("training for a minute to measure this machine")
    return Rehearsal(scratch, visible_gpus=choice.gpus, on_progress=show).measure(recipe)
