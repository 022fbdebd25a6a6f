"""Subcommands that queue a job: submit, finetune."""

from __future__ import annotations

import json as json_format
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bertd.cli.completion import complete_recipe, complete_run, complete_set, complete_task
from bertd.cli.options import JsonOption, PriorityOption, SocketOption, connect, print_json, status_line
from bertd.program import print_note

if TYPE_CHECKING:
    from bertd.run.recipe.schema import Recipe

# Those of bertd.records, which --help does not load.
Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]
Kept = Literal["nothing", "best"]
PresetName = Literal["quick", "fair", "paper"]


def submit(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="A TOML file, or the name of a recipe of bertd.", autocompletion=complete_recipe
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
        typer.Option("--budget", metavar="AMOUNT", help="The budget: 90min, 24h, 5000steps, ...", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the run.", show_default=False)] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Queue it, but do not start before `bertd release`.")] = False,
    priority: PriorityOption = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Queue nothing; say what it would be: size, steps, disk.")
    ] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Queue a pretraining. The recipe is checked here first, so a mistake in it costs nothing."""
    from bertd.api.models import SubmitPretrain
    from bertd.run.paths import find_data_set
    from bertd.run.recipe.load import find_recipe, parse_recipe, read_recipe

    path = find_recipe(recipe)
    overrides = [*(set_ or []), *_expand_shorthands(budget=budget, name=name)]
    resolved = read_recipe(path, overrides=overrides)
    overrides.append(f"data.shards={_toml_string(str(find_data_set(resolved.data.shards)))}")
    if (start_from := _resolve_start_from(resolved)) is not None:
        overrides.append(f"model.start_from={_toml_string(start_from)}")
    text = path.read_text(encoding="utf-8")
    resolved = parse_recipe(text, name=path.name, overrides=overrides)
    _check_start_from(resolved)
    if dry_run:
        from bertd.cli.commands.dry_run import estimate_run, estimate_text, read_known_runs

        estimate = estimate_run(resolved, known_runs=read_known_runs(connect(socket)))
        if json:
            print_json(estimate)
        else:
            print(estimate_text(estimate))
        return
    job = connect(socket).submit(
        SubmitPretrain(recipe_toml=text, recipe_name=path.name, overrides=overrides, priority=priority, hold=hold)
    )
    if json:
        print_json(job)
        return
    print(status_line(job))
    _print_next_commands(job.id, extra_hints=[(f"bertd release {job.id}", "let it start")] if hold else [])


def _validate_task(name: str | None) -> str | None:
    """The task's name, if one is given.

    Raises:
        BadParameter: GLUE has no task of that name.
    """
    from bertd.records import GLUE_TASKS

    if name is not None and name not in GLUE_TASKS:
        raise typer.BadParameter(f"{name!r} is not a GLUE task; the tasks are: {', '.join(GLUE_TASKS)}")
    return name


def _validate_learning_rate(lr: float) -> float:
    """The learning rate.

    Raises:
        BadParameter: it is not positive and finite.
    """
    if not 0 < lr < math.inf:
        raise typer.BadParameter(f"{lr:g} is not a learning rate; write one above 0, such as 5e-5")
    return lr


def finetune(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN[@STEP]",
            help="Run id, name, job number or @, then @0.5 for a marker; or a folder with an export.",
            autocompletion=complete_run,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="PATH",
            exists=True,
            help="Folder in GLUE's layout, FOLDER/CoLA/train.tsv, ..., or a copy of nyu-mll/glue; or a table of "
            "your own: .csv, .tsv, .jsonl, .json, .parquet; or tagged words: .conll, .iob, .iob2, .bio, .txt.",
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="A GLUE task by its name: cola, sst-2, mrpc, ... Not with a table.",
            callback=_validate_task,
            autocompletion=complete_task,
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            metavar="all|A,B,...",
            help="Instead of --task: a grid of finetunings of these tasks, as one job.",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        PresetName,
        typer.Option(
            "--preset",
            help="Settings of a grid: quick, one for each task; fair, one with 5 seeds; paper, up to 24 with 5 seeds.",
        ),
    ] = "quick",
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, max=1000, help="Seeds for each setting of a grid.", show_default=False),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            metavar="A[,B]",
            help="A table's column of texts, or two of pairs; of tagged words its number (1).",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="COLUMN",
            help="A table's column of labels; of tagged words its number (the last).",
            show_default=False,
        ),
    ] = None,
    dev: Annotated[
        Path | None,
        typer.Option(
            "--dev",
            metavar="TABLE",
            exists=True,
            dir_okay=False,
            help="The development set of a table; without it a tenth of the rows is held out.",
            show_default=False,
        ),
    ] = None,
    dev_share: Annotated[
        float | None,
        typer.Option("--dev-share", metavar="SHARE", help="Share to hold out, instead of 0.1.", show_default=False),
    ] = None,
    metric: Annotated[
        Metric | None,
        typer.Option(
            "--metric",
            help="Score of a table, by which the best epoch is chosen. By default accuracy, spearman if labels are "
            "fractions, or f1 if tags mark entities.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        Kept, typer.Option("--keep", help="Keep the model of the best epoch, for `bertd predict` and transformers.")
    ] = "nothing",
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**31 - 1, help="Decides the order, the dropout and the new layer.")
    ] = 42,
    lr: Annotated[float, typer.Option("--lr", help="Peak learning rate.", callback=_validate_learning_rate)] = 5e-5,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Examples in a step.")] = 32,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the training set.")] = 3,
    priority: PriorityOption = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Queue no grid; say how many trials it would have.")
    ] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Queue a finetuning of a run's export or of a stock encoder; its score appears in `bertd scores`."""
    from bertd.api.models import SubmitFinetune
    from bertd.cli.commands.finetune_grid import require_options_of_one_kind, submit_grid
    from bertd.cli.finetune_options import make_own_task, name_own_task
    from bertd.records import Keep, MetricName

    require_options_of_one_kind(context, is_grid=tasks is not None)
    if tasks is not None:
        id = submit_grid(
            _resolve_export(run),
            tasks=tasks,
            preset=preset,
            num_seeds=seeds,
            data=data,
            priority=priority,
            dry_run=dry_run,
            socket=socket,
            json=json,
        )
        if id is not None:
            _print_next_commands(id, extra_hints=[("bertd scores", "the scores so far")])
        return
    own = make_own_task(
        data, task=task, text=text, label=label, dev=dev, dev_share=dev_share, metric=metric and MetricName(metric)
    )
    job = connect(socket).submit(
        SubmitFinetune(
            run=_resolve_export(run),
            task=task or name_own_task(data),
            data_dir=str((data if own is None else data.parent).absolute()),
            own=own,
            keep=Keep(keep),
            seed=seed,
            lr=lr,
            batch_size=batch_size,
            epochs=epochs,
            priority=priority,
        )
    )
    if json:
        print_json(job)
        return
    print(status_line(job))
    _print_next_commands(job.id, extra_hints=[("bertd scores", "its score, when it is over")])


def _resolve_export(run: str) -> str:
    """The export to finetune: the absolute path of a folder with a model, otherwise a run as the daemon knows it."""
    folder = Path(run)
    if "/" not in run and (folder / "config.json").is_file():
        print_note(f"{run} is the folder here; for a run of this name give its number")
    elif not ("/" in run and folder.is_dir()):
        return run
    return str(folder.absolute())


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
    from bertd.run.budget_amounts import parse_budget_amount

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


def _print_next_commands(job_id: int, *, extra_hints: list[tuple[str, str]]) -> None:
    hints = [
        *extra_hints,
        ("bertd status", "what it does now"),
        (f"bertd logs {job_id} -f", "its log, as it is written"),
        (f"bertd wait {job_id}", "until it is over"),
        ("bert-tui", "watch it in the dashboard"),
    ]
    for command, meaning in hints:
        print(f"  {command.ljust(20)}  {meaning}")
