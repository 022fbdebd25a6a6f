"""Two exports' scores compared, as text or as Markdown."""

from __future__ import annotations

from bertd.cli.output.score_tables import escape_markdown, markdown_line
from bertd.cli.output.tables import BOLD, DIM, Cell, OutputStyle, Row, format_table
from bertd.records import MIN_SEEDS, ScoreComparison, ScoreDifference, TaskDifference

NO_DIFFERENCE = "no difference shown"


def comparison_text(comparison: ScoreComparison, *, style: OutputStyle) -> str:
    """A line for each task and the mean, what the interval is, and the tasks that are left out."""
    header = ["TASK", "METRIC", "A", "B", "B - A", "INTERVAL", "SEEDS", "WHAT"]
    rows: list[Row] = []
    for name, each in _named(comparison):
        verdict = describe_difference(each)
        colors = (DIM,) if each.covers_zero else (BOLD,)
        rows.append([name, each.metric, *_numbers(each), _seeds(each), Cell(verdict, colors)])
    lines = [f"A: {comparison.first}", f"B: {comparison.second}"]
    if rows:
        lines += [format_table(header, rows, right={2, 3, 4, 5, 6}, style=style, drop=(1, 6)), *_legend(comparison)]
    lines += [f"{each.task}: not compared: {each.reason}" for each in comparison.not_compared]
    return "\n".join(lines)


def comparison_markdown(comparison: ScoreComparison) -> str:
    """The same as a Markdown table."""
    header = ["task", "metric", "A", "B", "B - A", "interval", "seeds", "what"]
    lines = [f"A: {comparison.first}  ", f"B: {comparison.second}", ""]
    lines += [markdown_line(header), markdown_line(["---", "---", *["---:"] * 5, "---"])]
    for name, each in _named(comparison):
        cells = [name, each.metric, *_numbers(each), _seeds(each), describe_difference(each)]
        lines.append(markdown_line(map(escape_markdown, cells)))
    left_out = [f"{each.task}: not compared: {each.reason}." for each in comparison.not_compared]
    return "\n".join([*lines, "", *_legend(comparison), *left_out])


def describe_difference(difference: ScoreDifference) -> str:
    """What the interval shows, in words."""
    if difference.covers_zero:
        return NO_DIFFERENCE
    if not difference.has_enough_seeds:
        return f"needs {MIN_SEEDS} seeds of each"
    return "B is higher" if difference.difference > 0 else "A is higher"


def _named(comparison: ScoreComparison) -> list[tuple[str, TaskDifference | ScoreDifference]]:
    rows: list[tuple[str, TaskDifference | ScoreDifference]] = [(each.task, each) for each in comparison.tasks]
    if comparison.mean is not None:
        rows.append((f"mean of {len(comparison.mean.tasks)}", comparison.mean))
    return rows


def _numbers(each: ScoreDifference) -> list[str]:
    interval = f"{each.low:+.4f} to {each.high:+.4f}"
    return [f"{each.first:.4f}", f"{each.second:.4f}", f"{each.difference:+.4f}", interval]


def _seeds(each: ScoreDifference) -> str:
    return f"{each.num_first_seeds}, {each.num_second_seeds}"


def _legend(comparison: ScoreComparison) -> list[str]:
    lines = [
        f"A and B: median over seeds of the best setting. INTERVAL: {comparison.confidence:.0%} confidence of B - A, "
        f"from {comparison.num_resamples:,} resamples of seeds and development examples; it leaves out that settings "
        "and epochs were chosen on these examples."
    ]
    if comparison.mean is not None:
        lines.append(f"mean: over {', '.join(comparison.mean.tasks)}.")
    return lines
