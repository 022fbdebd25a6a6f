"""`bertd plan --compare`: plans side by side at one budget, and which of them to take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bertd.cli.commands.planning.run_plan import PlanAnswer
from bertd.cli.output.tables import detect_output_style
from bertd.records import Record
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_bytes
from bertd.run.plan.compare_plans import ComparedPlan, Recommendation, recommend
from bertd.terminal_text import terminal_line


@dataclass(frozen=True)
class Variant:
    """One of the things that are compared."""

    name: str
    """As it was written."""
    recipe: str
    settings: tuple[str, ...]


class ComparisonAnswer(Record):
    """What `bertd plan --compare --json` prints."""

    plans: list[PlanAnswer]
    recommendation: Recommendation

    @classmethod
    def of(cls, plans: Sequence[PlanAnswer]) -> ComparisonAnswer:
        """These plans, and which to take."""
        compared = [ComparedPlan(name=each.name, plan=each.plan) for each in plans]
        return cls(plans=list(plans), recommendation=recommend(compared))


def parse_variant(text: str, *, recipe: str) -> Variant:
    """Another recipe, or values such as `model.layers=12,model.width=768` of this one."""
    if "=" not in text:
        return Variant(text, text, ())
    return Variant(text, recipe, tuple(part.strip() for part in text.split(",") if part.strip()))


_ROWS: list[tuple[str, Callable[[PlanAnswer], str]]] = [
    ("parameters", lambda each: f"{each.plan.measurements.num_parameters / 1e6:,.1f}M"),
    ("sequences/s", lambda each: f"{each.plan.measurements.sequences_per_s:,.1f}"),
    ("steps", lambda each: f"{each.plan.steps:,}"),
    ("sequences", lambda each: f"{each.plan.sequences:,.0f}"),
    ("tokens per parameter", lambda each: f"{ComparedPlan(name='', plan=each.plan).tokens_per_parameter:,.2f}"),
    ("passes over the data", lambda each: f"{each.plan.epochs:.2f}" if each.plan.epochs else "-"),
    ("takes", lambda each: format_duration(each.total_s)),
    ("memory of a device", lambda each: _bytes_or_dash(each.plan.measurements.memory_bytes)),
    ("disk", lambda each: format_bytes(each.disk_bytes)),
    ("energy", lambda each: "-" if each.energy is None else f"{each.energy.kwh:,.1f} kWh"),
    ("doubts", lambda each: ", ".join(warning.code for warning in each.warnings) or "none"),
]


def comparison_text(answer: ComparisonAnswer) -> str:
    """For a person: a block for each plan, and the recommendation."""
    style = detect_output_style()
    label = max(len(name) for name, _ in _ROWS) + 2
    columns = [[terminal_line(each.name), *(row(each) for _, row in _ROWS)] for each in answer.plans]
    widths = [max(map(len, column)) for column in columns]
    if style.width and label + sum(width + 2 for width in widths) > style.width:
        blocks = ["\n".join([column[0], *_labelled(column[1:], label)]) for column in columns]
        text = "\n\n".join(blocks)
    else:
        names = ["", *(name for name, _ in _ROWS)]
        lines = []
        for place, name in enumerate(names):
            cells = (column[place].rjust(width) for column, width in zip(columns, widths, strict=True))
            lines.append(f"{name.ljust(label)}{'  '.join(cells)}")
        text = "\n".join(lines)
    chosen = answer.recommendation
    return f"{text}\n\ntake {terminal_line(chosen.name)}: {chosen.reason}"


def _labelled(cells: list[str], label: int) -> list[str]:
    return [f"  {name.ljust(label)}{cell}" for (name, _), cell in zip(_ROWS, cells, strict=True)]


def _bytes_or_dash(size: int | None) -> str:
    return "-" if size is None else format_bytes(size)
