"""Draw how much of the budget is left, and when and at which step the run will end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertd.records import BudgetUnit, JobState
from bertd.run.amounts.durations import format_duration
from tui.charts.rates import sequences_at_end, shortfall
from tui.display_options import DisplayOptions
from tui.drawing.formatting import clock_near, count, format_amount, loss, percent, short_count
from tui.drawing.lines import Line, Role, join_lines, justify, line, wrap_words
from tui.panels.bars import bar
from tui.panels.digits import digits
from tui.snapshot import ENDED_STATES, Snapshot

if TYPE_CHECKING:
    from bertd.api.models import RunView

BIG_HEIGHT = 3
_MAX_TEXT_ROWS = 4
"""Rows of a reason or of how a run ended, in full where it is not longer."""


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    run = snapshot.run
    if run is None:
        return []
    if height < BIG_HEIGHT or not _is_training(run):
        lines = _compact_lines(run, snapshot, options, width)
        return [line(), *lines][:height] if height > len(lines) else lines[:height]
    ending = _ending(run, snapshot, options)
    share = line((percent(run.budget.progress), Role.STRONG))
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


def num_compact_lines(snapshot: Snapshot, options: DisplayOptions, width: int) -> int:
    """Lines that the compact form needs to say in full why a run does not train."""
    run = snapshot.run
    return 2 if run is None else max(2, len(_compact_lines(run, snapshot, options, width)))


def _is_training(run: RunView) -> bool:
    return run.end is None and run.state is JobState.RUNNING


def _compact_lines(run: RunView, snapshot: Snapshot, options: DisplayOptions, width: int) -> list[Line]:
    """A bar, then when it ends, or why it does not train, or how it ended."""
    share = join_lines(
        [
            line((percent(run.budget.progress), Role.STRONG)),
            line((f"of {format_amount(run.budget.unit, run.budget.amount)}", Role.MUTED)),
        ],
        separator=" ",
    )
    is_over = run.end is not None or run.state in ENDED_STATES
    left = line((f"{run.state}", Role.STRONG)) if is_over else line((_remaining(run), Role.STRONG), " left")
    bar_width = max(4, width - left.width - share.width - 2)
    first = left + line(" ", *bar(run.budget.progress, width=bar_width, glyphs=options.glyphs), " ") + share
    if _is_training(run):
        ending = _ending(run, snapshot, options)
        return [first.fit(width), justify(ending, _progress_line(run, options, width - ending.width), width=width)]
    role = Role.BAD if run.state in (JobState.FAILED, JobState.LOST) else Role.TEXT if is_over else Role.WAITING
    rows = wrap_words(_ended_text(run) if is_over else run.reason or str(run.state), width)[:_MAX_TEXT_ROWS]
    texts = [line((row, role)) for row in rows]
    progress = _progress_line(run, options, width - texts[-1].width)
    return [first.fit(width), *texts[:-1], justify(texts[-1], progress, width=width)]


def _ended_text(run: RunView) -> str:
    """How it ended, with what there is of it."""
    end = run.end
    if end is None:
        return run.reason or str(run.state)
    text = f"ended: {end.reason} at step {count(end.step)}"
    part = "" if end.validation_share == 1.0 else f" on {end.validation_share:.0%} of the set"
    text += f", validation loss {loss(end.validation_loss)}{part}" if end.validation_loss is not None else ""
    text += f", exported as {end.export}" if end.export else ""
    return f"{text}: {run.reason}" if run.state in (JobState.FAILED, JobState.LOST) and run.reason else text


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


def _ending(run: RunView, snapshot: Snapshot, options: DisplayOptions) -> Line:
    """When a run that trains will end; of a silent daemon as of its last message, since training does not need it."""
    step = f"at step {count(run.budget.projected_step)}" if run.budget.projected_step is not None else ""
    if run.budget.remaining_s is None:
        return line(("no speed yet, so no end is projected", Role.MUTED))
    end_t = snapshot.state_t + run.budget.remaining_s + (run.budget.reserve_s or 0.0)
    ending = line(("ends ", Role.MUTED), clock_near(end_t, now=snapshot.now), " ", step)
    if not snapshot.link.is_fresh:
        return ending + line(("; a run trains on without the daemon", Role.MUTED))
    short = shortfall(run, snapshot.series)
    if short:
        return ending + line((f", {short}", Role.WAITING))
    return ending + line((", projected", Role.MUTED))


def _progress_line(run: RunView, options: DisplayOptions, available_width: int) -> Line:
    """Steps, sequences, now and at the end, and epochs done, as many of them as fit."""
    if run.step is None:
        return Line()
    parts = [line(("step ", Role.MUTED), count(run.step.step))]
    at_end = sequences_at_end(run) if run.end is None else None
    of = f" of {short_count(at_end)}" if at_end is not None else ""
    parts.append(line(short_count(run.step.sequences), (f"{of} sequences", Role.MUTED)))
    if run.start is not None and run.start.train_sequences:
        epochs = run.step.sequences / run.start.train_sequences
        parts.append(line(f"{epochs:.2f}", (" epochs", Role.MUTED)))
    while parts and join_lines(parts, separator=options.glyphs.dot).width + 2 > available_width:
        parts.pop()
    return join_lines(parts, separator=options.glyphs.dot)
