"""All actions in one table: keys, name in the command palette, and help text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KeyBinding:
    """One action and its keys."""

    keys: str
    """Textual's key names; the first one is shown."""
    action: str
    """The dashboard's method without `action_`, with its arguments."""
    title: str
    meaning: str
    label: str = ""
    """How to print the key, if not by its name."""

    @property
    def display_label(self) -> str:
        return self.label or self.keys.split(",")[0]


JOB_KEYS = [
    KeyBinding("p", "pause_or_resume", "Pause or resume", "pause with a checkpoint, or resume"),
    KeyBinding("P", "pause_hot", "Pause hot", "stop at a step, keep GPU memory; p resumes"),
    KeyBinding("c", "checkpoint", "Checkpoint", "save a checkpoint at the next step"),
    KeyBinding("f", "finetune", "Finetune", "finetune the run's newest export"),
    KeyBinding("S", "stop", "Stop", "stop for good: save, validate, export"),
]
QUEUE_KEYS = [
    KeyBinding("H", "hold", "Hold", "keep the selected job from starting"),
    KeyBinding("R", "release", "Release", "let the selected job start"),
    KeyBinding("u", "prioritize(1)", "Raise priority", "move the selected job up"),
    KeyBinding("d", "prioritize(-1)", "Lower priority", "move the selected job down"),
]
"""Shown only in views where a queued job can be selected."""
VIEW_KEYS = [
    KeyBinding("1", "show_view('run')", "Run", "budget, loss, speed, devices"),
    KeyBinding("2", "show_view('queue')", "Queue", "all jobs; keys act on the selected one"),
    KeyBinding("3", "show_view('scores')", "Scores", "finetuning scores by task"),
    KeyBinding("4,l", "show_view('log')", "Log", "the job's log, as it is written"),
    KeyBinding("5", "show_view('events')", "Events", "all events"),
    KeyBinding("n", "next_run", "Next run", "show another run"),
    KeyBinding("y", "toggle_log", "Logarithmic loss", "loss on a logarithmic axis"),
    KeyBinding("z", "toggle_zoom", "Whole budget", "x axis: whole budget, or the spent part"),
]
APP_KEYS = [
    KeyBinding("ctrl+p", "command_palette", "Palette", "all actions by name"),
    KeyBinding("question_mark,h,f1", "show_help", "Help", "this page", label="?"),
    KeyBinding("q,ctrl+q", "quit", "Quit", "quit the dashboard; training keeps running"),
]
