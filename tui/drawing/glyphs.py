"""The symbols of the dashboard: one-cell Unicode characters, or ASCII for terminals that lack them.

No emoji and nothing double-width. A job's state always shows as symbol and word, never as colour only.
"""

from __future__ import annotations

from dataclasses import dataclass

from bertd.records import JobState
from tui.drawing.lines import Role


@dataclass(frozen=True)
class Glyphs:
    """One set of symbols."""

    states: dict[JobState, str]
    rule: str
    bar_full: str
    bar_half: str
    bar_empty: str
    dot: str
    """Separates two facts."""
    axis: str
    tick: str
    dash: str
    """Stands for a missing value."""
    cross: str
    live: str
    legend: str
    celsius: str
    levels: str
    """Heights of a sparkline, from nothing to full."""
    shade: str
    """Fills the part of a chart in which nothing was charged."""
    is_braille: bool
    """Whether curves are drawn with 2 x 4 braille dots per cell, else with one letter per cell."""


UNICODE = Glyphs(
    states={
        JobState.QUEUED: "○",
        JobState.HELD: "◇",
        JobState.STARTING: "◔",
        JobState.RUNNING: "●",
        JobState.PAUSING: "◑",
        JobState.PAUSED: "‖",
        JobState.STOPPING: "◕",
        JobState.DONE: "✓",
        JobState.FAILED: "✗",
        JobState.CANCELLED: "–",
        JobState.LOST: "?",
    },
    rule="─",
    bar_full="━",
    bar_half="╸",
    bar_empty="─",
    dot=" · ",
    axis="│",
    tick="┤",
    dash="–",
    cross="✗",
    live="●",
    legend="━━",
    celsius="°C",
    levels="▁▂▃▄▅▆▇█",
    shade="░",
    is_braille=True,
)

ASCII = Glyphs(
    states={
        JobState.QUEUED: "o",
        JobState.HELD: "#",
        JobState.STARTING: ">",
        JobState.RUNNING: "*",
        JobState.PAUSING: "<",
        JobState.PAUSED: "=",
        JobState.STOPPING: "<",
        JobState.DONE: "+",
        JobState.FAILED: "x",
        JobState.CANCELLED: "-",
        JobState.LOST: "?",
    },
    rule="-",
    bar_full="#",
    bar_half="#",
    bar_empty=".",
    dot=" | ",
    axis="|",
    tick="+",
    dash="-",
    cross="x",
    live="*",
    legend="",
    celsius="C",
    levels="_.:-=+*#",
    shade="'",
    is_braille=False,
)

_ROLES = {
    JobState.RUNNING: Role.GOOD,
    JobState.DONE: Role.GOOD,
    JobState.FAILED: Role.BAD,
    JobState.LOST: Role.BAD,
    JobState.CANCELLED: Role.MUTED,
    JobState.QUEUED: Role.MUTED,
}


def state_role(state: JobState) -> Role:
    """The role that colours a state, in addition to its symbol and word."""
    return _ROLES.get(state, Role.WAITING)
