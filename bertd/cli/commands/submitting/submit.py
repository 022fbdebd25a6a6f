"""`bertd submit`: queue a pretraining, or a program of a person's own."""

from __future__ import annotations

import json as json_format
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.commands.submitting.submit_command import (
    CommandOption,
    CpusOption,
    DevicesOption,
    EnvOption,
    RetriesOption,
    RunOption,
    TimeLimitOption,
    make_command,
    require_options_of_one_kind,
    submit_command,
)
from bertd.cli.completion import complete_recipe, complete_set
from bertd.cli.options import (
    AfterAnyOption,
    AfterOption,
    BeginOption,
    JsonOption,
    OnlyOption,
    PriorityOption,
    SocketOption,
    connect,
    print_json,
    print_next_commands,
    split_jobs,
    status_line,
)

if TYPE_CHECKING:
    from bertd.run.recipe.schema import Recipe


def submit(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, or the name of a recipe of bertd. With --command: -- and the program.",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ] = None,
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
        typer.Option("--budget", metavar="AMOUNT", help="The budget: 90min, 24h, 5000steps, ...", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run, or of the command.", show_default=False)
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Queue it, but do not start before `bertd release`.")] = False,
    priority: PriorityOption = 0,
    after: AfterOption = None,
    after_any: AfterAnyOption = None,
    begin: BeginOption = None,
    only: OnlyOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Queue nothing; say what it would be: size, steps, disk.")
    ] = False,
    command: CommandOption = False,
    devices: DevicesOption = 0,
    cpus: CpusOption = 1,
    env: EnvOption = None,
    run: RunOption = None,
    time_limit: TimeLimitOption = None,
    retries: RetriesOption = 0,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Queue a pretraining, or with --command any program. A recipe is checked first, so a mistake costs nothing."""
    require_options_of_one_kind(context, is_command=command)
    if command:
        order = make_command(
            words or [],
            name=name,
            devices=devices,
            cpus=cpus,
            env=env or [],
            run=run,
            time_limit=time_limit,
            retries=retries,
            priority=priority,
            after=split_jobs(after),
            after_any=split_jobs(after_any),
            begin=begin,
            only=only,
            hold=hold,
        )
        submit_command(order, socket=socket, json=json)
        return
    recipe = _require_one_recipe(words or [])
    from bertd.api.models import SubmitPretrain
    from bertd.run.paths import expand_user, find_data_set
    from bertd.run.recipe.load import find_recipe, parse_recipe, read_recipe

    path = find_recipe(recipe)
    overrides = [*(set_ or []), *_expand_shorthands(budget=budget, name=name)]
    resolved = read_recipe(path, overrides=overrides)
    overrides.append(f"data.shards={_toml_string(str(find_data_set(resolved.data.shards)))}")
    if resolved.finetune.data is not None:
        overrides.append(f"finetune.data={_toml_string(str(expand_user(resolved.finetune.data).absolute()))}")
    if (start_from := _resolve_start_from(resolved)) is not None:
        overrides.append(f"model.start_from={_toml_string(start_from)}")
    text = path.read_text(encoding="utf-8")
    resolved = parse_recipe(text, name=path.name, overrides=overrides)
    _check_start_from(resolved)
    if dry_run:
        from bertd.cli.commands.submitting.dry_run import estimate_run, estimate_text, read_known_runs

        estimate = estimate_run(resolved, known_runs=read_known_runs(connect(socket)))
        if json:
            print_json(estimate)
        else:
            print(estimate_text(estimate))
        return
    job = connect(socket).submit(
        SubmitPretrain(
            recipe_toml=text,
            recipe_name=path.name,
            overrides=overrides,
            priority=priority,
            after=split_jobs(after),
            after_any=split_jobs(after_any),
            begin=begin,
            only=only,
            hold=hold,
        )
    )
    if json:
        print_json(job)
        return
    print(status_line(job))
    print_next_commands(job.id, extra_hints=[(f"bertd release {job.id}", "let it start")] if hold else [])


def _require_one_recipe(words: list[str]) -> str:
    """The recipe that is named.

    Raises:
        BadParameter: none is, or more than one.
    """
    if len(words) == 1:
        return words[0]
    if not words:
        raise typer.BadParameter("give a recipe, such as `bertd submit demo`", param_hint="RECIPE")
    raise typer.BadParameter(f"give one recipe, not {' '.join(words)}; a program needs --command", param_hint="RECIPE")


def _resolve_start_from(recipe: Recipe) -> str | None:
    """The model that the run starts from: an absolute path if anything is there, otherwise a name on the hub.

    What is no folder, such as a pipe, is not taken for a name: the daemon refuses it.
    """
    source = recipe.model.start_from
    if source is None:
        return None
    from bertd.run.paths import expand_user

    folder = expand_user(source).absolute()
    return str(folder) if os.path.lexists(folder) else source


def _check_start_from(recipe: Recipe) -> None:
    """Exit with the reason if a run cannot start from the folder it names; a name on the hub is not checked.

    Raises:
        Exit: it cannot.
    """
    from bertd.run.recipe.load import format_recipe

    source = recipe.model.start_from
    if source is None or not (Path(source).is_dir() and Path(recipe.data.shards).is_dir()):
        return
    # The command line never imports the compute side, which has its own program for this.
    command = [sys.executable, "-m", "bertd.train.check_start_from"]
    # In its own session, so that Ctrl-C reaches only this process, which then ends the child.
    completed = subprocess.run(command, input=format_recipe(recipe), text=True, check=False, start_new_session=True)
    if completed.returncode:
        raise typer.Exit(completed.returncode)


def _expand_shorthands(*, budget: str | None, name: str | None) -> list[str]:
    """--budget and --name as overrides of the recipe."""
    overrides = []
    if budget is not None:
        overrides.append(_budget_override(budget))
    if name is not None:
        overrides.append(f"run.name={_toml_string(name)}")
    return overrides


def _budget_override(text: str) -> str:
    """--budget as an override.

    Raises:
        BadParameter: it is not a budget above 0.
    """
    from bertd.records import BudgetUnit
    from bertd.run.amounts.budget_amounts import parse_budget_amount

    try:
        asked = parse_budget_amount(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--budget") from error
    if asked.is_relative or not asked.amount:
        raise typer.BadParameter(f"{text!r}: give a budget above 0, such as 24h", param_hint="--budget")
    is_count = asked.unit in (BudgetUnit.STEPS, BudgetUnit.SEQUENCES) and asked.amount == int(asked.amount)
    return f"budget.{asked.unit}={int(asked.amount) if is_count else asked.amount!r}"


def _toml_string(text: str) -> str:
    """The text as a TOML string: TOML reads JSON's escapes, and requires one more, for DEL."""
    return json_format.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
