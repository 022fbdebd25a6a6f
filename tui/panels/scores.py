"""Finetuning scores: grids under way, each export's tasks with their spread, the way there, and published rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from bertd.records import JobKind
from bertd.run.amounts.durations import format_duration
from bertd.scores.score_summary import (
    GLUE_COLUMNS,
    PublishedRow,
    TaskSummary,
    choose_start,
    export_shares,
    glue_mean,
    read_published,
    summarize_scores,
)
from tui.display_options import DisplayOptions
from tui.drawing.formatting import clock_near, percent
from tui.drawing.glyphs import Glyphs, state_role
from tui.drawing.lines import Line, Role, Span, cell, heading, line
from tui.panels.bars import bar
from tui.snapshot import ENDED_STATES, Snapshot

if TYPE_CHECKING:
    from bertd.api.models import EventView, JobView, MarkerGridView, RunView, ScoreView

_REFERENCE = "BERT-base"
"""The published row of the development sets beside which each median is put."""
_WIDE = 104
"""From this width the metric, the setting and the majority's score are shown."""
_BAR_CELLS = 16
_TASK_CELLS = 14
_PUBLISHED_CELLS = 6


def draw(
    scores: Sequence[ScoreView] | None, run: RunView | None, snapshot: Snapshot, options: DisplayOptions, width: int
) -> list[Line]:
    """All sections; `scores` is None while no daemon has answered, `run` is the shown one with what is kept of it."""
    title = heading("Scores", line((_count(scores), Role.MUTED)), width=width, rule=options.glyphs.rule)
    grids = _grid_lines(run, snapshot, options, width)
    if not scores:
        return [title, *grids]
    summaries = summarize_scores(scores)
    newest = {each.source: max(view.score.t for view in each.every_trial) for each in summaries}
    lines = [title, *grids]
    for source in sorted(newest, key=lambda source: -newest[source]):
        lines += _export_lines([each for each in summaries if each.source == source], options, width)
    shares = export_shares([run]) if run is not None else {}
    return [*lines, *_budget_lines(summaries, shares, options, width), *_published_lines(options, width)]


def _count(scores: Sequence[ScoreView] | None) -> str:
    if scores is None:
        return "not known yet"
    if not scores:
        return "none yet; f queues a finetuning"
    return "1 trial" if len(scores) == 1 else f"{len(scores)} trials"


def _grid_lines(run: RunView | None, snapshot: Snapshot, options: DisplayOptions, width: int) -> list[Line]:
    """A line for each grid that is not over, and for each that the run's recipe asks for."""
    jobs = [job for job in (snapshot.status.jobs if snapshot.status else []) if job.kind is JobKind.GRID]
    drawn = [
        _grid_line(job, _newest_grid_event(snapshot.events, job.id), snapshot.now, options, width)
        for job in jobs
        if job.state not in ENDED_STATES
    ]
    return [*drawn, *(_marker_line(grid, width) for grid in (run.grids if run is not None else []))]


def _grid_line(job: JobView, event: EventView | None, now: float, options: DisplayOptions, width: int) -> Line:
    role = state_role(job.state)
    over, trials = (event.data.get("step"), event.data.get("num_trials")) if event is not None else (None, None)
    count = f"  {over} of {trials} trials" if over is not None else ""
    ends = f", ends about {clock_near(job.expected_end_t, now=now)}" if job.expected_end_t is not None else ""
    remaining = event.data.get("remaining_s") if event is not None else None
    if not ends and isinstance(remaining, (int, float)):
        ends = f", {format_duration(remaining)} left"
    return Line(
        (
            Span(f"{options.glyphs.states[job.state]} ", role),
            cell(f"grid #{job.id}", 11, Role.STRONG),
            *bar(job.progress or 0.0, width=_BAR_CELLS, glyphs=options.glyphs),
            cell(percent(job.progress, decimals=0) if job.progress is not None else "", 6, right=True),
            Span(f"{count}{ends}"),
            Span(f"  {job.reason}", Role.MUTED),
        )
    ).fit(width)


def _marker_line(grid: MarkerGridView, width: int) -> Line:
    job = f", job {grid.grid_job_id}" if grid.grid_job_id is not None else ""
    reason = f": {grid.reason}" if grid.reason else ""
    text = f"  grid of the recipe at {percent(grid.marker, decimals=0)} of the budget is {grid.state}{job}{reason}"
    return line((text, Role.MUTED)).fit(width)


def _newest_grid_event(events: Sequence[EventView], job_id: int) -> EventView | None:
    return next((event for event in reversed(events) if event.type == "grid" and event.job_id == job_id), None)


def _export_lines(summaries: Sequence[TaskSummary], options: DisplayOptions, width: int) -> list[Line]:
    """One export: its tasks, and the mean of the eight where all are there."""
    source = summaries[0].source
    # With the starts from another task's model where there are some, as published means have them.
    vias = [each.via for each in summaries if each.via is not None]
    mean = glue_mean(choose_start(summaries, via=vias[0] if vias else None).values())
    text = f"mean of {len(GLUE_COLUMNS)}: {100 * mean:.1f}" if mean is not None else "median of the best setting"
    head = heading(source, line((text, Role.MUTED)), width=width, rule=options.glyphs.rule)
    return [head, _column_heads(width), *(_task_row(each, options, width) for each in summaries)]


def _column_heads(width: int) -> Line:
    names = [("task", _TASK_CELLS), *([("metric", 13)] if width >= _WIDE else []), ("median", 9), ("spread", 15)]
    names += [("seeds", 6), (_REFERENCE, 13)]
    names += [("majority", 10), ("lr / batch / epochs", 30)] if width >= _WIDE else []
    return Line(tuple(cell(name, size, Role.MUTED) for name, size in names)).fit(width)


def _task_row(each: TaskSummary, options: DisplayOptions, width: int) -> Line:
    """The median over the seeds of the best setting, its spread, and how far it is from the published row."""
    is_wide = width >= _WIDE
    spread = f"{each.scores[0]:.4f} {each.scores[-1]:.4f}" if len(each.scores) > 1 else options.glyphs.dash
    return Line(
        (
            cell(_start_name(each), _TASK_CELLS, Role.STRONG),
            *([cell(each.metric, 13, Role.MUTED)] if is_wide else []),
            cell(f"{each.median:.4f}", 9, Role.STRONG),
            cell(spread, 15),
            cell(str(len(each.scores)), 6, Role.MUTED),
            cell(_distance(each, options), 13),
            *([cell(f"{each.majority_score:.4f}", 10, Role.MUTED)] if is_wide else []),
            *(
                [
                    Span(
                        _setting_text(each),
                        Role.MUTED,
                    )
                ]
                if is_wide
                else []
            ),
        )
    ).fit(width)


def _setting_text(each: TaskSummary) -> str:
    setting = each.setting
    best = f", best of {each.num_settings}" if each.num_settings > 1 else ""
    return f"{setting.lr:g} / {setting.batch_size} / {setting.epochs}{best}"


def _start_name(each: TaskSummary) -> str:
    return each.task if each.via is None else f"{each.task} from {each.via}"


def _distance(each: TaskSummary, options: DisplayOptions) -> str:
    """Published percent, and ours less that; nothing where the metrics are not the same."""
    row = _reference()
    published = row.scores.get(each.task) if row is not None else None
    is_same_metric = row is not None and ((each.task in row.accuracy) <= (each.metric == "accuracy"))
    if published is None or not is_same_metric:
        return options.glyphs.dash
    return f"{published:.1f} {100 * each.median - published:+.1f}"


def _budget_lines(
    summaries: Sequence[TaskSummary], shares: Mapping[str, float], options: DisplayOptions, width: int
) -> list[Line]:
    """Medians of the shown run's exports against the share of its budget, where there are several."""
    of_run = [each for each in summaries if each.source in shares]
    sources = sorted({each.source for each in of_run}, key=lambda source: shares[source])
    if len(sources) < 2:
        return []
    fitting = max(2, (width - _TASK_CELLS - 12) // 9)
    shown = sources[-fitting:]
    title = heading("Against the budget", Line(), width=width, rule=options.glyphs.rule)
    heads = line(
        cell("task", _TASK_CELLS, Role.MUTED),
        *(cell(percent(shares[source], decimals=0), 9, Role.MUTED) for source in shown),
    )
    medians: dict[str, dict[str, float]] = {}
    for each in of_run:
        medians.setdefault(_start_name(each), {})[each.source] = each.median
    rows = [
        line(
            cell(name, _TASK_CELLS, Role.STRONG),
            *(cell(f"{by[source]:.4f}" if source in by else options.glyphs.dash, 9) for source in shown),
            (_levels([by.get(source) for source in sources], options.glyphs), Role.BAR),
        )
        for name, by in medians.items()
    ]
    return [title, heads, *rows]


def _levels(medians: Sequence[float | None], glyphs: Glyphs) -> str:
    """A bar for each export, from the row's lowest to its highest."""
    known = [median for median in medians if median is not None]
    low, span = min(known), max(known) - min(known)
    if not span:
        return ""
    steps = len(glyphs.levels) - 1
    return "".join(" " if each is None else glyphs.levels[round(steps * (each - low) / span)] for each in medians)


def _published_lines(options: DisplayOptions, width: int) -> list[Line]:
    """The published rows that name their tasks, those of the development sets first."""
    drawn = []
    for split, words in (("dev", "development sets"), ("test", "test sets, which are not comparable")):
        rows = [row for row in _published() if row.split == split and row.scores]
        right = line(("in percent", Role.MUTED))
        drawn.append(heading(f"Published, {words}", right, width=width, rule=options.glyphs.rule))
        name_cells = max(18, min(30, width - _PUBLISHED_CELLS * (len(GLUE_COLUMNS) + 1)))
        heads = [cell("model", name_cells, Role.MUTED)]
        heads += [cell(task, _PUBLISHED_CELLS, Role.MUTED) for task in (*GLUE_COLUMNS, "mean")]
        drawn.append(Line(tuple(heads)).fit(width))
        drawn += [_published_row(row, name_cells, options, width) for row in rows]
    return drawn


def _published_row(row: PublishedRow, name_cells: int, options: DisplayOptions, width: int) -> Line:
    cells = [
        cell(f"{row.scores[task]:.1f}" if task in row.scores else options.glyphs.dash, _PUBLISHED_CELLS)
        for task in GLUE_COLUMNS
    ]
    mean = cell(f"{row.mean:.1f}", _PUBLISHED_CELLS, Role.STRONG)
    start = " from MNLI" if row.mnli_start else ""
    return Line((cell(f"{row.model}{start}", name_cells), *cells, mean, Span(row.source, Role.MUTED))).fit(width)


@cache
def _published() -> tuple[PublishedRow, ...]:
    return tuple(read_published())


def _reference() -> PublishedRow | None:
    return next((row for row in _published() if row.model == _REFERENCE and row.split == "dev"), None)
