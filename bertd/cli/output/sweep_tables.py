"""Format sweeps as text."""

from __future__ import annotations

from bertd.api.sweep_models import SettingView, SweepView
from bertd.cli.output.tables import OutputStyle, format_table
from bertd.run.amounts.durations import format_duration, format_exact_duration
from bertd.run.amounts.quantities import format_count
from bertd.terminal_text import terminal_line


def sweeps_text(sweeps: list[SweepView], *, style: OutputStyle) -> str:
    """A row for each sweep."""
    rows = [
        [str(each.id), each.name, each.state, str(each.num_settings), format_duration(each.charged_s), each.reason]
        for each in sweeps
    ]
    return format_table(
        ["ID", "NAME", "STATE", "SETTINGS", "CHARGED", "REASON"], rows, right={0, 3, 4}, style=style, drop=[4]
    )


def sweep_text(sweep: SweepView, *, style: OutputStyle) -> str:
    """One sweep: what it is, then its settings, best first."""
    most = "" if sweep.max_charged_s is None else f" of about {format_duration(sweep.max_charged_s)} at most"
    states = ", ".join(f"{number} {state}" for state, number in sweep.num_by_state.items())
    lines = [
        f"sweep {sweep.id} ({terminal_line(sweep.name)}) is {sweep.state}"
        + (f": {terminal_line(sweep.reason)}" if sweep.reason else ""),
        f"{format_count(sweep.num_settings, 'setting')}: {states}; {format_duration(sweep.charged_s)} charged{most}",
    ]
    ends = [*(format_exact_duration(rung.at_s) for rung in sweep.rungs)]
    ends.append("END" if sweep.end_s is None else format_exact_duration(sweep.end_s))
    axes = list(sweep.settings[0].values) if sweep.settings else []
    header = ["RANK", "NO", "JOB", "STATE", "CHARGED", *ends, *axes, "REASON"]
    order = sorted(sweep.settings, key=lambda each: (each.rank is None, each.rank, each.number))
    rows = [_setting_row(each, num_ends=len(ends), style=style) for each in order]
    right = {0, 1, 2, *range(4, 5 + len(ends) + len(axes))}
    return "\n".join([*lines, "", format_table(header, rows, right=right, style=style)])


def _setting_row(setting: SettingView, *, num_ends: int, style: OutputStyle) -> list[str]:
    losses = [f"{loss:.3f}" for loss in setting.losses]
    return [
        style.dash if setting.rank is None else str(setting.rank),
        str(setting.number),
        style.dash if setting.job_id is None else str(setting.job_id),
        setting.state,
        format_duration(setting.charged_s),
        *(losses + [style.dash] * (num_ends - len(losses))),
        *setting.values.values(),
        setting.reason or setting.job_reason or "",
    ]
