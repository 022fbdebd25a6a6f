"""The daemon's hooks as text: a row for each, and what became of a test."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bertd.api.models import HookOutcomeView, HookView
from bertd.cli.output.tables import OutputStyle, format_table
from bertd.terminal_text import terminal_line


def hook_table(hooks: Sequence[HookView], *, style: OutputStyle) -> str:
    """One line per hook: what it is, what calls it, and its newest outcome."""
    if not hooks:
        return "no hooks are configured; docs/hooks.md says how"
    rows = [[hook.name, hook.kind, hook.target, ", ".join(hook.events), _newest(hook)] for hook in hooks]
    headings = ["NAME", "KIND", "CALLS", "ON", "NEWEST"]
    return format_table(headings, rows, right=set(), style=style, shrink={2: 20, 3: 12, 4: 24})


def outcome_line(hook: str, outcome: HookOutcomeView | None) -> str:
    """What became of a test."""
    if outcome is None:
        return f"{hook}: not delivered yet; `bertd hooks` says when it is, and what waits before it"
    return f"{hook}: {_verdict(outcome)}"


def _newest(hook: HookView) -> str:
    waiting = f"; {hook.num_waiting} waiting" if hook.num_waiting else ""
    outcomes = [outcome for outcome in (hook.newest, hook.newest_test) if outcome is not None]
    if not outcomes:
        return f"none yet{waiting}"
    newest = max(outcomes, key=lambda outcome: outcome.t)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(newest.t))
    return f"{when} {newest.event} {_verdict(newest)}{waiting}"


def _verdict(outcome: HookOutcomeView) -> str:
    attempts = f" in {outcome.num_attempts} attempts" if outcome.num_attempts > 1 else ""
    return f"{'delivered' if outcome.is_delivered else 'failed'}{attempts}: {terminal_line(outcome.detail)}"
