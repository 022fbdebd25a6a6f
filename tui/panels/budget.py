"""Draw how much of the budget is left, and when and at which step the run will end."""

from __future__ import annotations

from bertd.api.models import RunView
from bertd.records import BudgetUnit, JobState
from bertd.run.durations import format_duration
from tui.display_options import DisplayOptions
from tui.formatting import clock_near, count, format_amount, percent, short_count
from tui.lines import Line, Role, join_lines, justify, line
from tui.panels.bars import bar
from tui.panels.digits import digits
from tui.snapshot import Snapshot

BIG_HEIGHT = 3


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    run = snapshot.run
    if run is None:
        return []
    ending = _ending(run, snapshot.now, options)
    share = line((percent(run.budget.progress), Role.STRONG))
    if height < BIG_HEIGHT:
        left = line((_remaining(run), Role.STRONG), " left ")
        share = join_lines(
            [share, line((f"of {format_amount(run.budget.unit, run.budget.amount)}", Role.MUTED))], separator=" "
        )
        available_width = width - left.width - share.width - 2
        first = (
            left
            + line(" ", *bar(run.budget.progress, width=max(4, available_width), glyphs=options.glyphs), " ")
            + share
        )
        return [first.fit(width), justify(ending, _progress_line(run, options, width - ending.width), width=width)][
            :height
        ]
    figures = digits(_remaining_digits(run), glyphs=options.glyphs)
    available_width = width - figures[0].width - 3
    caption = f"left of {format_amount(run.budget.unit, run.budget.amount)}{_unit_note(run)}"
    caption += _reserve_note(run, available_width=available_width - share.width - 2 - len(caption))
    right_lines = [
        justify(line((caption, Role.MUTED)), share, width=available_width),
        line(*bar(run.budget.progress, width=available_width, glyphs=options.glyphs)),
        justify(ending, _progress_line(run, options, available_width - ending.width), width=available_width),
    ]
    lines = [figure + line("   ") + text for figure, text in zip(figures, right_lines, strict=True)]
    return [line(), *lines] if height > BIG_HEIGHT else lines


def _unit_note(run: RunView) -> str:
    return " of charged time" if run.budget.unit is BudgetUnit.HOURS else ""


def _reserve_note(run: RunView, *, available_width: int) -> str:
    """The reserve, which follows the time that is left, in the longest form that fits."""
    if run.budget.reserve_s is None:
        return ""
    then = f", then {format_duration(run.budget.reserve_s)}"
    notes = (f"{then} for the last validation, save and export", f"{then} to validate, save, export", then)
    return next((note for note in notes if len(note) <= available_width), "")


def _remaining(run: RunView) -> str:
    budget = run.budget
    if budget.remaining_s is not None:
        about = "" if budget.unit in (BudgetUnit.HOURS, BudgetUnit.GPU_HOURS) else "about "
        return about + format_duration(budget.remaining_s)
    return format_amount(budget.unit, budget.amount - budget.spent)


def _remaining_digits(run: RunView) -> str:
    """What is left as digits: 13:59:12, or the percentage if no time is known."""
    if run.budget.remaining_s is None:
        return f"{100 * (1 - run.budget.progress):.0f}"
    whole = max(0, round(run.budget.remaining_s))
    hours, rest = divmod(whole, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"


def _ending(run: RunView, now: float, options: DisplayOptions) -> Line:
    """When the run ends, or its state if it is not running."""
    if run.end is not None:
        export = f"{options.glyphs.dot}exported as {run.end.export}" if run.end.export else ""
        return line((f"ended: {run.end.reason} at step {count(run.end.step)}{export}", Role.TEXT))
    step = f"at step {count(run.budget.projected_step)}" if run.budget.projected_step is not None else ""
    if run.state is not JobState.RUNNING:
        return line((run.reason or str(run.state), Role.WAITING))
    if run.budget.remaining_s is None:
        return line(("no speed yet, so no end is projected", Role.MUTED))
    when = clock_near(now + run.budget.remaining_s + (run.budget.reserve_s or 0.0), now=now)
    return line(("ends ", Role.MUTED), when, " ", step, (", projected", Role.MUTED))


def _progress_line(run: RunView, options: DisplayOptions, available_width: int) -> Line:
    """Steps, sequences and epochs done, as many of them as fit."""
    if run.step is None:
        return Line()
    parts = [line(("step ", Role.MUTED), count(run.step.step))]
    parts.append(line(short_count(run.step.sequences), (" sequences", Role.MUTED)))
    if run.start is not None and run.start.train_sequences:
        epochs = run.step.sequences / run.start.train_sequences
        parts.append(line(f"{epochs:.2f}", (" epochs", Role.MUTED)))
    while parts and join_lines(parts, separator=options.glyphs.dot).width + 2 > available_width:
        parts.pop()
    return join_lines(parts, separator=options.glyphs.dot)
