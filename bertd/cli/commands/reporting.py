"""`bertd report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bertd.cli.completion import complete_run
from bertd.cli.options import JsonOption, SocketOption, find_run_folder, print_json


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Run id, name, job number or @; or a run's folder, with a / in it. Several are compared.",
            autocompletion=complete_run,
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="By default report-RUN.html, or .md, here.", show_default=False),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown in place of HTML.")] = False,
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="RECIPE", help="The recipe from which differences are shown.")
    ] = "24hbert",
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Write one file on what a run bought: its figures, where the time went, curves, GLUE, recipe, data, provenance."""
    from bertd.cli.report.answer import ReportAnswer
    from bertd.cli.report.build_report import build_report
    from bertd.cli.report.compare_runs import compare_runs
    from bertd.cli.report.html import write_html
    from bertd.cli.report.markdown import write_markdown
    from bertd.cli.report.run_facts import read_run_facts
    from bertd.run.atomic_files import atomic_write
    from bertd.run.recipe.load import find_recipe, read_recipe
    from bertd.terminal_text import terminal_line

    reference = read_recipe(find_recipe(baseline), overrides=["data.shards=-"])
    facts = [read_run_facts(find_run_folder(run, socket=socket)) for run in dict.fromkeys(runs)]
    if len(facts) == 1:
        written = build_report(facts[0], baseline=reference, baseline_name=baseline)
    else:
        written = compare_runs(facts)
    suffix = "md" if markdown else "html"
    path = out or Path(f"report-{'-'.join(each.name for each in facts)}.{suffix}")
    atomic_write(path, write_markdown(written) if markdown else write_html(written))
    if json:
        print_json(ReportAnswer(file=str(path.absolute()), runs=[each.name for each in facts]))
    else:
        print(terminal_line(str(path.absolute())))
