"""Subcommands that only read: status, jobs, show, scores, wait."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bertd.cli import exit_codes
from bertd.cli.completion import complete_run
from bertd.cli.options import (
    JobArgument,
    JsonOption,
    SocketOption,
    connect,
    parse_time,
    print_json,
    status_line,
)

if TYPE_CHECKING:
    from bertd.api.client import Client

_E = TypeVar("_E", bound=StrEnum)


def status(socket: SocketOption = None, json: JsonOption = False) -> None:
    """Show the runs with what is left of their budgets, the queue, the devices and the last events."""
    answer = connect(socket).status()
    if json:
        print_json(answer)
        return
    from bertd.cli.output.pages import status_page

    print(status_page(answer))


def jobs(
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="Only jobs in this state, such as queued; may be repeated.", show_default=False),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only jobs of this kind, such as pretrain; may be repeated.", show_default=False),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME|UID", help="Only jobs that this user submitted.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N of the list.")
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """List jobs, queued and past, each with its state and the reason for it; all without an option."""
    from bertd.records import JobKind, JobState

    answer = connect(socket).jobs(
        states=_members(JobState, state, option="--state"),
        kinds=_members(JobKind, kind, option="--kind"),
        user=user,
        limit=limit,
    )
    if json:
        print_json([*answer])
        return
    from bertd.cli.output.pages import jobs_page

    print(jobs_page(answer, nothing=_none_found(state, kind, user)))


def _members(choices: type[_E], names: list[str] | None, *, option: str) -> list[_E]:
    """The members of these names.

    Raises:
        BadParameter: a name is of none.
    """
    known = {choice.value: choice for choice in choices}
    if unknown := [name for name in names or [] if name not in known]:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of: {', '.join(known)}", param_hint=option)
    return [known[name] for name in names or []]


def _none_found(*filters: object) -> str:
    return "No such job; `bertd jobs` lists all." if any(filters) else "No job yet."


def show(id: JobArgument = "@", socket: SocketOption = None, json: JsonOption = False) -> None:
    """Show one job: its state and why, its run's budget, loss, speed and checkpoints, its scores."""
    from bertd.cli.output.pages import job_page, scores_of
    from bertd.records import JobKind

    client = connect(socket)
    job = client.job(id)
    run = client.run(job.run_id) if job.kind is JobKind.PRETRAIN else None
    scores = client.scores()
    if json:
        from bertd.cli.output.job_details import JobDetails

        print_json(JobDetails(job=job, run=run, scores=scores_of(job, run, scores)))
        return
    print(job_page(job, run, scores))


def scores(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Run ids, names or job numbers, or @; all runs without it.",
            show_default=False,
            autocompletion=complete_run,
        ),
    ] = None,
    trials: Annotated[
        bool, typer.Option("--trials", help="List each trial instead of the best setting's median.")
    ] = False,
    settings: Annotated[
        bool, typer.Option("--settings", help="List each setting, and after how many seeds halving dropped it.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Show rows that others published, each with its source.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table, a row for each export.")
    ] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table, a row for each export.")] = False,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Of two runs or exports: the second's scores minus the first's, with intervals."
        ),
    ] = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Show finetuning scores: for each export and task the median over seeds of the best setting.

    --json prints every trial, newest first.
    """
    _require_one_form(trials, settings, markdown, latex, json)
    client = connect(socket)
    if compare:
        _compare(
            client, runs or [], markdown=markdown, json=json, is_other_form=trials or settings or latex or published
        )
        return
    answer = [score for run in runs for score in client.scores(run)] if runs else client.scores()
    if json:
        print_json([*answer])
        return
    from bertd.cli.output.export_cost import export_costs
    from bertd.cli.output.score_curve import curves_text
    from bertd.cli.output.score_tables import latex_table, markdown_table, published_text, summaries_text
    from bertd.cli.output.tables import detect_output_style
    from bertd.cli.output.views import scores_text
    from bertd.scores.score_summary import export_shares, read_published, summarize_scores

    rows, style = read_published() if published else [], detect_output_style()
    summaries = summarize_scores(answer)
    if settings and summaries:
        from bertd.cli.output.setting_table import settings_text

        print(settings_text(summaries, style=style))
        return
    # Pretrainings of this daemon alone: a score may be of a folder, or of a run that was deleted.
    run_ids = {score.run_id for score in answer} & {run.id for run in client.runs()} if answer and not trials else ()
    scored_runs = list(map(client.run, run_ids))
    costs = export_costs(scored_runs, {each.source for each in summaries})
    if markdown or latex:
        print((markdown_table if markdown else latex_table)(summaries, rows, costs=costs))
        return
    nothing = "No score yet; get one with `bertd finetune RUN --task cola --data FOLDER`."
    table = scores_text(answer, style=style) if trials else summaries_text(summaries, costs=costs, style=style)
    print(table if answer else nothing)
    if not trials and (curves := curves_text(summaries, shares=export_shares(scored_runs), style=style)):
        print(f"\n{curves}")
    if rows:
        print(f"\n{published_text(rows, style=style)}")


def _compare(client: Client, runs: list[str], *, markdown: bool, json: bool, is_other_form: bool) -> None:
    """Print the comparison of two exports.

    Raises:
        BadParameter: there are not two, or the form is that of a table of scores.
        CheckpointError: no task could be compared.
    """
    if len(runs) != 2:
        raise typer.BadParameter(f"compares two runs or exports, and {len(runs)} are given", param_hint="--compare")
    if is_other_form:
        raise typer.BadParameter("goes with --markdown or --json alone", param_hint="--compare")
    from bertd.cli.commands.scoring.compare_scores import compare_scores
    from bertd.cli.output.comparison_tables import comparison_markdown, comparison_text
    from bertd.cli.output.tables import detect_output_style
    from bertd.errors import CheckpointError

    comparison = compare_scores(client, *runs)
    if json:
        print_json(comparison)
    else:
        style = detect_output_style()
        print(comparison_markdown(comparison) if markdown else comparison_text(comparison, style=style))
    if not comparison.tasks:
        raise CheckpointError(f"{' and '.join(runs)}: no task could be compared; the reasons are above")


def _require_one_form(*are_given: bool) -> None:
    """Refuse two forms of the table at once.

    Raises:
        BadParameter: more than one is given.
    """
    if sum(are_given) > 1:
        raise typer.BadParameter("--trials, --settings, --markdown, --latex and --json: give one of them")


def wait(
    id: JobArgument = "@",
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Give up after 30s, 10min, 24h, ...", show_default=False),
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Wait until a job is over; paused and held ones are not. The exit status says how it ended."""
    from bertd.cli.commands.wait import EXIT_CODE_BY_STATE, wait_until_over

    deadline = None if timeout is None else time.monotonic() + parse_time(timeout, option="--timeout")
    client = connect(socket)
    job = wait_until_over(client, client.job(id), deadline=deadline)
    if json:
        print_json(job)
    else:
        print(status_line(job))
    sys.exit(EXIT_CODE_BY_STATE.get(job.state, exit_codes.TIMED_OUT))
