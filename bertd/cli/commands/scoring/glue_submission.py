"""`bertd glue submit`: choose each task's model by its development set, then start the program that predicts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.commands.programs import run_module
from bertd.cli.completion import complete_run
from bertd.cli.options import SocketOption, connect

if TYPE_CHECKING:
    from bertd.api.models import ScoreView
    from bertd.cli.commands.scoring.scored_export import JobFolders
    from bertd.records import SubmissionRequest
    from bertd.run.paths import JobPaths
    from bertd.scores.score_summary import TaskSummary

PROGRAM = "bertd.glue.submission.submit"
_RUN_AND_STEP = re.compile(r"(.+)/step-(\d+)")

glue_app = typer.Typer(help="GLUE's leaderboard.", no_args_is_help=True)


@glue_app.command("submit")
def submit(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN[@STEP]",
            help="The run whose finetunings are submitted, or an export as `bertd scores` names it.",
            autocompletion=complete_run,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Folder in GLUE's layout with the test files, or a copy of nyu-mll/glue.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.zip", help="The zip to write.")],
    partial: Annotated[
        bool, typer.Option("--partial", help="Write the files that can be, though the leaderboard takes only all.")
    ] = False,
    socket: SocketOption = None,
) -> None:
    """Write the zip that GLUE's leaderboard takes: each test set predicted by the model that is best on dev.

    Raises:
        BadParameter: the file's name is not that of a zip.
        CheckpointError: the export has no score, or the run has scores of several.
        Exit: the program that predicts failed.
    """
    if out.suffix != ".zip":
        raise typer.BadParameter(f"{out}: end the name in .zip", param_hint="--out")
    from bertd.cli.commands.scoring.scored_export import JobFolders, find_scores
    from bertd.scores.score_summary import summarize_scores

    client = connect(socket)
    summaries = summarize_scores(find_scores(client, run))
    request = build_submission(
        summaries, folders=JobFolders(client), data=data.absolute(), out=out.absolute(), is_partial=partial
    )
    run_module(PROGRAM, request.model_dump_json())


def build_submission(
    summaries: Sequence[TaskSummary], *, folders: JobFolders, data: Path, out: Path, is_partial: bool
) -> SubmissionRequest:
    """What the program is asked: each task's kept model, or what makes it.

    Args:
        summaries: of one export, not empty.
        folders: of its finetunings.
        data: absolute path of the data folder.
        out: absolute path of the zip.
        is_partial: whether a zip without some files is written.
    """
    from bertd.records import ChosenModel, SubmissionRequest
    from bertd.run.grid.finetune_grid import GRID_TASKS

    by_task = choose_starts(summaries)
    export = _export_argument(summaries[0].source)
    models: list[ChosenModel] = []
    gaps: dict[str, str] = {}
    unkept: dict[str, ScoreView] = {}
    for task in GRID_TASKS:
        if task not in by_task:
            command = f"bertd finetune {export} --task {task} --data {shlex.quote(str(data))} --keep best"
            gaps[task] = f"was not finetuned; get its model with `{command}`"
            continue
        view = choose_trial(by_task[task])
        paths = folders.of(view)
        if view.score.kept is not None and paths.finetuned_model.is_dir():
            models.append(ChosenModel(task=task, folder=str(paths.finetuned_model), description=_describe(view)))
        else:
            unkept[task] = view
    for task, view in unkept.items():
        command = (
            _finetune_command(export, view, folders.of(view), data=data)
            if view.score.via is None
            else _grid_command(export, view, folders.of_job(view), tasks=_made_with(view, unkept), data=data)
        )
        gaps[task] = f"the model of {_describe(view)} was not kept; make it with `{command}`"
    return SubmissionRequest(data_dir=str(data), out=str(out), is_partial=is_partial, models=models, gaps=gaps)


def choose_starts(summaries: Sequence[TaskSummary]) -> dict[str, TaskSummary]:
    """By task the summary with the highest median, of equals that of the export itself and not from the model of MNLI.

    Args:
        summaries: of one export.
    """
    chosen: dict[str, TaskSummary] = {}
    for each in sorted(summaries, key=lambda each: each.via is not None):
        if each.task not in chosen or each.median > chosen[each.task].median:
            chosen[each.task] = each
    return chosen


def _made_with(view: ScoreView, unkept: dict[str, ScoreView]) -> list[str]:
    """The tasks whose missing models the same grid would make, from the same model."""
    return [task for task, other in unkept.items() if (other.job_id, other.score.via) == (view.job_id, view.score.via)]


def choose_trial(summary: TaskSummary) -> ScoreView:
    """The trial with the highest score, which a grid's --keep best keeps; of equals one that kept its model, then the
    lowest seed."""
    return max(summary.every_trial, key=lambda view: (view.score.score, view.score.kept is not None, -view.score.seed))


def _describe(view: ScoreView) -> str:
    score = view.score
    start = "" if score.via is None else f"from the model of {score.via}, "
    return (
        f"{start}seed {score.seed}, learning rate {score.lr:g}, batch {score.batch_size}, {score.epochs} epochs "
        f"({score.metric} {score.score:.4f} on dev)"
    )


def _export_argument(source: str) -> str:
    """The export as `bertd finetune` takes it."""
    match = _RUN_AND_STEP.fullmatch(source)
    return shlex.quote(source if match is None else f"{match[1]}@{int(match[2])}")


def _finetune_command(export: str, view: ScoreView, paths: JobPaths, *, data: Path) -> str:
    """The command that repeats a trial and keeps its model.

    Raises:
        RunFolderError: the trial's spec cannot be read.
    """
    from pydantic import ValidationError

    from bertd.errors import RunFolderError
    from bertd.records import FinetuneSpec

    try:
        spec = FinetuneSpec.model_validate_json(paths.finetune_spec.read_bytes())
    except (OSError, ValidationError) as error:
        raise RunFolderError(
            f"{paths.finetune_spec}: cannot be read ({type(error).__name__}), so the settings of {view.score.task} are "
            "not known; finetune it again"
        ) from error
    options = (
        f"--seed {spec.seed} --lr {spec.lr:g} --batch-size {spec.batch_size} --epochs {spec.epochs} "
        f"--weight-decay {spec.weight_decay:g} --warmup {spec.warmup:g}"
    )
    return f"bertd finetune {export} --task {spec.task} --data {shlex.quote(str(data))} {options} --keep best"


def _grid_command(export: str, view: ScoreView, job: JobPaths, *, tasks: Sequence[str], data: Path) -> str:
    """The command that repeats a grid from another task's model, for these tasks alone, and keeps the best models.

    Raises:
        RunFolderError: the grid's spec cannot be read.
    """
    from pydantic import ValidationError

    from bertd.errors import RunFolderError
    from bertd.records import GridSpec

    try:
        spec = GridSpec.model_validate_json(job.grid_spec.read_bytes())
    except (OSError, ValidationError) as error:
        raise RunFolderError(
            f"{job.grid_spec}: cannot be read ({type(error).__name__}), so the settings of {view.score.task} from "
            f"{view.score.via} are not known; finetune it again with --tasks {view.score.via},{view.score.task} "
            f"--via {view.score.via} --keep best"
        ) from error
    num_seeds = len({trial.seed for trial in spec.trials})
    options = f"--preset {spec.preset} --seeds {num_seeds}{' --halving' if spec.is_halving else ''}"
    return (
        f"bertd finetune {export} --tasks {view.score.via},{','.join(tasks)} --via {view.score.via} "
        f"--data {shlex.quote(str(data))} {options} --keep best"
    )
