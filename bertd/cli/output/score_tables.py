"""Summaries of scores as text: aligned, as Markdown or as LaTeX, beside published rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bertd.cli.output.export_cost import ExportCost
from bertd.cli.output.tables import BOLD, Cell, OutputStyle, Row, format_table
from bertd.cli.output.views import name_start
from bertd.records import VIA_TASKS, Via
from bertd.scores.score_summary import GLUE_COLUMNS, PublishedRow, TaskSummary, choose_start, glue_mean

_TITLES = {
    "mnli": "MNLI-m/mm",
    "qnli": "QNLI",
    "qqp": "QQP",
    "rte": "RTE",
    "sst-2": "SST-2",
    "mrpc": "MRPC",
    "cola": "CoLA",
    "sts-b": "STS-B",
    "wnli": "WNLI",
}
_START_TEXT: dict[Via | None, str] = {None: "", "mnli": f", {', '.join(map(str.upper, VIA_TASKS))} from MNLI"}
_CHOICE = "median over seeds of the best setting, which is chosen on the same development set"


def summaries_text(summaries: Sequence[TaskSummary], *, costs: Mapping[str, ExportCost], style: OutputStyle) -> str:
    """One line for each export and task, the mean where all eight tasks of GLUE are there, and each export's cost."""
    header = ["TASK", "METRIC", "MEDIAN", "LOWEST", "HIGHEST", "SEEDS", "TRIALS", "LR", "BATCH", "EPOCHS", "MAJORITY"]
    rows: list[Row] = [
        [
            name_start(each.task, each.via),
            each.metric,
            Cell(f"{each.median:.4f}", (BOLD,)),
            f"{each.scores[0]:.4f}",
            f"{each.scores[-1]:.4f}",
            str(len(each.scores)),
            str(each.num_trials),
            f"{each.setting.lr:g}",
            str(each.setting.batch_size),
            str(each.setting.epochs),
            f"{each.majority_score:.4f}",
            each.source,
        ]
        for each in summaries
    ]
    lines = [format_table([*header, "SOURCE"], rows, right=set(range(2, 11)), style=style, drop=(9, 8, 7, 6, 10, 1))]
    lines.append(f"MEDIAN: {_CHOICE}. `--trials` lists each trial, `--settings` each setting.")
    lines += _describe_sets(summaries)
    lines += [
        f"{source}: mean of {len(GLUE_COLUMNS)} tasks{_START_TEXT[via]}: {100 * mean:.1f}"
        for source, of_export in _by_export(summaries).items()
        for via in _starts(of_export)
        if (mean := glue_mean(choose_start(of_export, via=via).values())) is not None
    ]
    lines += [
        f"{source}: {costs[source].hardware}{_in_brackets(costs[source].gpu_hours)}"
        for source in _by_export(summaries)
        if source in costs
    ]
    return "\n".join(lines)


def _describe_sets(summaries: Sequence[TaskSummary]) -> list[str]:
    """What the rows of a task differ in that was scored in several ways: the metric, or the development set."""
    rows: dict[tuple[str, str, Via | None], list[TaskSummary]] = {}
    for each in summaries:
        rows.setdefault((each.source, each.task, each.via), []).append(each)
    lines = []
    for each in (each for of_task in rows.values() if len(of_task) > 1 for each in of_task):
        score = each.trials[0].score
        name = name_start(each.task, each.via)
        lines.append(f"{name}, {each.metric} {each.median:.4f}: {score.num_dev:,} examples, {score.dev}")
    return lines


def published_text(rows: Iterable[PublishedRow], *, style: OutputStyle) -> str:
    """The published rows, those of the development sets apart from those of the test sets."""
    header = [
        "MODEL",
        *(title.upper() for title in _glue_titles()),
        "MEAN",
        "FROM MNLI",
        "GPU-HOURS",
        "HARDWARE",
        "SOURCE",
    ]
    tables = []
    listed = list(rows)
    for split in ("dev", "test"):
        cells: list[Row] = [
            [
                row.model,
                *(_published_cell(row, task, dash=style.dash) for task in GLUE_COLUMNS),
                Cell(f"{row.mean:.1f}", (BOLD,)),
                style.dash if row.mnli_start is None else "yes" if row.mnli_start else "no",
                style.dash if row.gpu_hours is None else f"{row.gpu_hours:g}",
                row.hardware or style.dash,
                row.source,
            ]
            for row in listed
            if row.split == split
        ]
        if cells:
            table = format_table(header, cells, right={*range(1, 10), 11}, style=style, drop=(12, 10, 11))
            tables.append(f"Published, {split} sets, in percent:\n{table}")
    return "\n\n".join(tables)


def markdown_table(
    summaries: Sequence[TaskSummary], published: Sequence[PublishedRow], *, costs: Mapping[str, ExportCost]
) -> str:
    """A row for each export, then the published rows of the development sets, then those of the test sets."""
    header, rows = _wide_rows(summaries, published, costs)
    lines = [
        markdown_line(map(escape_markdown, header)),
        markdown_line(["---", *["---:"] * (len(header) - 3), "---", "---"]),
    ]
    lines += [markdown_line(map(escape_markdown, row)) for row in rows]
    return "\n".join([*lines, "", f"In percent; ours: {_CHOICE}."])


def latex_table(
    summaries: Sequence[TaskSummary], published: Sequence[PublishedRow], *, costs: Mapping[str, ExportCost]
) -> str:
    """The same as a LaTeX tabular, for the package booktabs."""
    header, rows = _wide_rows(summaries, published, costs)
    columns = "l" + "r" * (len(header) - 3) + "ll"
    lines = [
        f"% In percent; ours: {_CHOICE}.",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_line(header),
        r"\midrule",
        *(_latex_line(row) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _wide_rows(
    summaries: Sequence[TaskSummary], published: Sequence[PublishedRow], costs: Mapping[str, ExportCost]
) -> tuple[list[str], list[list[str]]]:
    others = sorted({each.task for each in summaries} - set(GLUE_COLUMNS))
    header = ["model", *_glue_titles(), *(_TITLES.get(task, task) for task in others), "mean of 8"]
    header += ["GPU-hours", "hardware", "what"]
    rows = []
    for source, of_export in _by_export(summaries).items():
        for via in _starts(of_export):
            by_task = choose_start(of_export, via=via)
            mean = glue_mean(by_task.values())
            cost = costs.get(source)
            seeds = sorted({len(each.scores) for each in by_task.values()})
            seeds_text = f"{'-'.join(map(str, seeds[:1] + seeds[1:][-1:]))} seed{'s' * (seeds[-1] > 1)}"
            rows.append(
                [
                    source,
                    *(_own_cell(by_task.get(task)) for task in (*GLUE_COLUMNS, *others)),
                    "" if mean is None else f"{100 * mean:.1f}",
                    "" if cost is None or cost.gpu_hours is None else f"{cost.gpu_hours:.3g}",
                    "" if cost is None else cost.hardware,
                    f"dev, {seeds_text}{_START_TEXT[via]}",
                ]
            )
    for split in ("dev", "test"):
        for row in published:
            if row.split == split:
                cells = [_published_cell(row, task, dash="") for task in GLUE_COLUMNS]
                start = {None: "", True: ", from MNLI", False: ", not from MNLI"}[row.mnli_start]
                what = f"{split}{start}; mean of {row.mean_of}: {row.source}"
                hours = "" if row.gpu_hours is None else f"{row.gpu_hours:g}"
                others_mean = [*[""] * len(others), f"{row.mean:.1f}"]
                rows.append([row.model, *cells, *others_mean, hours, row.hardware, what])
    return header, rows


def _starts(of_export: Iterable[TaskSummary]) -> list[Via | None]:
    """The rows that an export gets: one without a start from another task's model, and one with it."""
    return sorted({None, *(each.via for each in of_export)}, key=lambda via: via or "")


def _in_brackets(gpu_hours: float | None) -> str:
    return "" if gpu_hours is None else f" ({gpu_hours:.3g} GPU-hours)"


def _own_cell(summary: TaskSummary | None) -> str:
    """The median in percent, with the spread of the seeds where there are several."""
    if summary is None:
        return ""
    text = f"{100 * summary.median:.1f}"
    if summary.mismatched is not None:
        text += f"/{100 * summary.mismatched:.1f}"
    if len(summary.scores) > 1:
        text += f" ({100 * summary.scores[0]:.1f} to {100 * summary.scores[-1]:.1f})"
    return text


def _published_cell(row: PublishedRow, task: str, *, dash: str) -> str:
    if task not in row.scores:
        return dash
    text = f"{row.scores[task]:.1f}"
    if task == "mnli" and "mnli_mismatched" in row.scores:
        text += f"/{row.scores['mnli_mismatched']:.1f}"
    return text + (" acc" if task in row.accuracy else "")


def _glue_titles() -> list[str]:
    return [_TITLES[task] for task in GLUE_COLUMNS]


def _by_export(summaries: Iterable[TaskSummary]) -> dict[str, list[TaskSummary]]:
    grouped: dict[str, list[TaskSummary]] = {}
    for each in summaries:
        grouped.setdefault(each.source, []).append(each)
    return grouped


def markdown_line(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def escape_markdown(text: str) -> str:
    """The text of a cell, in which no character has a meaning of its own."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def _latex_line(cells: Iterable[str]) -> str:
    escaped = ("".join(_LATEX.get(letter, letter) for letter in cell) for cell in cells)
    return f"{' & '.join(escaped)} \\\\"
