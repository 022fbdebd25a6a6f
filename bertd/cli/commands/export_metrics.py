"""`bertd export-metrics`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.completion import complete_run
from bertd.cli.options import JsonOption, SocketOption, find_run_folder, print_json

if TYPE_CHECKING:
    from bertd.trackers.export import ExportAnswer


class Format(StrEnum):
    """As in bertd.trackers, which is not imported here; test_export_metrics.py checks it."""

    CSV = "csv"
    PARQUET = "parquet"
    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"
    TRACKIO = "trackio"


def export_metrics(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Run id, name, job number or @; or a run's folder, with a / in it.",
            autocompletion=complete_run,
            show_default=False,
        ),
    ],
    to: Annotated[Format, typer.Option("--to", help="What to write.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="By default RUN-metrics.csv, RUN-wandb, ...", show_default=False),
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(
            "--points",
            metavar="N",
            min=0,
            help="About how many step records at most, every n-th as it was recorded; 0: all. By default all in a "
            "table, 10000 in a tracker.",
            show_default=False,
        ),
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Write a run's metrics for another program: a table, or a tracker's files.

    The run may be over or still running. Needs a daemon only to find the run by its id.
    """
    from bertd.trackers.export import TRACKER_POINTS, export_metrics
    from bertd.trackers.sinks.open_sink import MetricsFormat

    format = MetricsFormat(to)
    folder = find_run_folder(run, socket=socket)
    place = out or Path(f"{folder.name}-metrics.{format}" if format.is_table else f"{folder.name}-{format}")
    if points is None and not format.is_table:
        points = TRACKER_POINTS
    answer = export_metrics(folder, format, place=place, points=points or None)
    if json:
        print_json(answer)
    else:
        _print_answer(answer)


def _print_answer(answer: ExportAnswer) -> None:
    from bertd.run.amounts.quantities import format_count
    from bertd.terminal_text import terminal_line

    print(terminal_line(answer.place))
    kept = "all" if answer.every == 1 else f"one of every {answer.every:,}, and the newest"
    print(f"  {format_count(answer.num_rows, 'row')}; of {format_count(answer.num_step_records, 'step record')} {kept}")
    if answer.num_damaged_lines:
        print(f"  {format_count(answer.num_damaged_lines, 'damaged line')} of the journal left out")
    if hint := _NEXT.get(answer.format):
        print(f"  {hint.format(terminal_line(answer.place))}")


_NEXT = {
    "tensorboard": "tensorboard --logdir {}",
    "wandb": "wandb sync --sync-all, in {}",
    "mlflow": "MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {}",
    "trackio": "TRACKIO_DIR={} trackio show --project bertd",
}
