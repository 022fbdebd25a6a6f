"""The options of `bertd finetune`, but for what they have in common with other subcommands."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from bertd.cli.completion import complete_run, complete_task

# Those of bertd.records, which --help does not load.
Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]
Kept = Literal["nothing", "best"]
ViaName = Literal["mnli"]
NowKind = Literal["cold", "hot"]
PresetName = Literal["quick", "fair", "paper", "modern", "search"]


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


# The headings of --help.
_OF_ONE = "One finetuning"
_OF_A_GRID = "A grid of finetunings"
_OF_OWN_DATA = "Data of your own"

RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN[@STEP]",
        help="Run id, name, job number or @, then @0.5 for a marker; or a folder with an export.",
        autocompletion=complete_run,
    ),
]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="PATH",
        exists=True,
        help="Folder in GLUE's layout, FOLDER/CoLA/train.tsv, ..., or a copy of nyu-mll/glue; or a table of "
        "your own: .csv, .tsv, .jsonl, .json, .parquet; or tagged words: .conll, .iob, .iob2, .bio, .txt; or SQuAD's "
        "JSON.",
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        rich_help_panel=_OF_ONE,
        help="A GLUE task by its name: cola, sst-2, mrpc, ... Not with a table.",
        callback=_validate_task,
        autocompletion=complete_task,
        show_default=False,
    ),
]
TasksOption = Annotated[
    str | None,
    typer.Option(
        "--tasks",
        metavar="all|A,B,...",
        rich_help_panel=_OF_A_GRID,
        help="Instead of --task: a grid of finetunings of these tasks, as one job.",
        show_default=False,
    ),
]
PresetOption = Annotated[
    PresetName,
    typer.Option(
        "--preset",
        rich_help_panel=_OF_A_GRID,
        help="Settings of a grid of --tasks, or of data of your own: quick, one; fair, one with 5 seeds; paper, up to "
        "24 with 5 seeds; search, paper's, of which --halving may drop some; modern, ModernBERT's of each GLUE task.",
    ),
]
SeedsOption = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        min=1,
        max=1000,
        rich_help_panel=_OF_A_GRID,
        help="Seeds for each setting of a grid.",
        show_default=False,
    ),
]
ViaOption = Annotated[
    ViaName | None,
    typer.Option(
        "--via",
        rich_help_panel=_OF_A_GRID,
        help="Finetune rte, mrpc and sts-b of a grid a second time, from its best model of this task.",
        show_default=False,
    ),
]
HalvingOption = Annotated[
    bool,
    typer.Option(
        "--halving",
        rich_help_panel=_OF_A_GRID,
        help="With --preset search: after each seed drop the worse half of a task's settings.",
    ),
]
TextOption = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="A[,B]",
        rich_help_panel=_OF_OWN_DATA,
        help="A table's column of texts, or two of pairs; of tagged words its number (1).",
        show_default=False,
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="COLUMN",
        rich_help_panel=_OF_OWN_DATA,
        help="A table's column of labels; of tagged words its number (the last).",
        show_default=False,
    ),
]
DevOption = Annotated[
    Path | None,
    typer.Option(
        "--dev",
        metavar="TABLE",
        exists=True,
        dir_okay=False,
        rich_help_panel=_OF_OWN_DATA,
        help="The development set of a table; without it a tenth of the rows is held out.",
        show_default=False,
    ),
]
DevShareOption = Annotated[
    float | None,
    typer.Option(
        "--dev-share",
        metavar="SHARE",
        rich_help_panel=_OF_OWN_DATA,
        help="Share to hold out, instead of 0.1.",
        show_default=False,
    ),
]
MetricOption = Annotated[
    Metric | None,
    typer.Option(
        "--metric",
        rich_help_panel=_OF_OWN_DATA,
        help="Score of a table, by which the best epoch is chosen. By default accuracy, spearman if labels are "
        "fractions, or f1 if tags mark entities and of questions.",
        show_default=False,
    ),
]
KeepOption = Annotated[
    Kept, typer.Option("--keep", help="Keep the model of the best epoch, of a grid that of each task's best trial.")
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=2**31 - 1,
        rich_help_panel=_OF_ONE,
        help="Decides the order, the dropout and the new layer.",
    ),
]
LrOption = Annotated[
    float, typer.Option("--lr", rich_help_panel=_OF_ONE, help="Peak learning rate.", callback=_validate_learning_rate)
]
BatchSizeOption = Annotated[
    int, typer.Option("--batch-size", min=1, rich_help_panel=_OF_ONE, help="Examples in a step.")
]
WeightDecayOption = Annotated[
    float, typer.Option("--weight-decay", min=0.0, rich_help_panel=_OF_ONE, help="AdamW's, of the weight matrices.")
]
WarmupOption = Annotated[
    float,
    typer.Option(
        "--warmup",
        min=0.0,
        max=0.99,
        rich_help_panel=_OF_ONE,
        help="Share of the steps in which the learning rate rises.",
    ),
]
EpochsOption = Annotated[
    int, typer.Option("--epochs", min=1, rich_help_panel=_OF_ONE, help="Passes over the training set.")
]
NowOption = Annotated[
    NowKind | None,
    typer.Option(
        "--now",
        metavar="[=hot]",
        help="Pause the pretraining that has the devices, run this on them, then let it continue by itself; says first "
        "what that costs, and asks. --now=hot: the pretraining keeps its memory, if there is room for both.",
        show_default=False,
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="With --now: do not ask.")]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Queue nothing; read the data and describe it; of a grid, how many trials, how long."
    ),
]
