"""Every action once: its keys, its name in the palette and what help says of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KeyBinding:
    """One action."""

    keys: str
    """As Textual names them; the first is the one that is shown."""
    action: str
    """A method of the dashboard, without its action_, with arguments where it takes some."""
    title: str
    meaning: str
    label: str = ""
    """How the key is written, where that is not its name."""

    @property
    def display_label(self) -> str:
        return self.label or self.keys.split(",")[0]


JOB_KEYS = [
    KeyBinding("p", "pause_or_resume", "Pause or resume", "pause with a checkpoint, or resume"),
    KeyBinding("P", "pause_hot", "Pause hot", "hold at a step, memory kept; p goes on"),
    KeyBinding("c", "checkpoint", "Checkpoint", "save a checkpoint at the next step"),
    KeyBinding("f", "finetune", "Finetune", "finetune the run's newest export"),
    KeyBinding("S", "stop", "Stop", "stop for good: save, validate, export"),
]
QUEUE_KEYS = [
    KeyBinding("H", "hold", "Hold", "keep the chosen job from starting"),
    KeyBinding("R", "release", "Release", "let the chosen job start"),
    KeyBinding("u", "prioritize(1)", "Raise priority", "move the chosen job up"),
    KeyBinding("d", "prioritize(-1)", "Lower priority", "move the chosen job down"),
]
"""Only where a job of the queue can be chosen."""
VIEW_KEYS = [
    KeyBinding("1", "show_view('run')", "Run", "budget, loss, speed, devices"),
    KeyBinding("2", "show_view('queue')", "Queue", "every job; keys act on the chosen one"),
    KeyBinding("3", "show_view('scores')", "Scores", "finetuning scores by task"),
    KeyBinding("4,l", "show_view('log')", "Log", "log of the job, followed"),
    KeyBinding("5", "show_view('events')", "Events", "everything that happened"),
    KeyBinding("n", "next_run", "Next run", "show another run"),
    KeyBinding("y", "toggle_log", "Logarithmic loss", "loss on a logarithmic axis"),
    KeyBinding("z", "toggle_zoom", "Whole budget", "x axis: whole budget, or what is spent"),
]
APP_KEYS = [
    KeyBinding("ctrl+p", "command_palette", "Palette", "every action by name"),
    KeyBinding("question_mark,h,f1", "show_help", "Help", "this page", label="?"),
    KeyBinding("q,ctrl+q", "quit", "Quit", "leave this view; training keeps running"),
]
