"""Every action once: its keys, its name in the palette and what help says of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """One action."""

    keys: str
    """As Textual names them; the first is the one that is shown."""
    action: str
    """A method of the dashboard, without its action_, with arguments where it takes some."""
    title: str
    meaning: str
    shown: str = ""
    """How the key is written, where that is not its name."""

    @property
    def written(self) -> str:
        return self.shown or self.keys.split(",")[0]


ACTING = [
    Key("p", "pause_or_resume", "Pause or resume", "pause with a checkpoint, or resume"),
    Key("P", "pause_hot", "Pause hot", "hold at a step, memory kept; p goes on"),
    Key("c", "checkpoint", "Checkpoint", "save a checkpoint at the next step"),
    Key("f", "finetune", "Finetune", "finetune the run's newest export"),
    Key("S", "stop", "Stop", "stop for good: save, validate, export"),
]
QUEUE = [
    Key("H", "hold", "Hold", "keep the chosen job from starting"),
    Key("R", "release", "Release", "let the chosen job start"),
    Key("u", "prioritize(1)", "Raise priority", "move the chosen job up"),
    Key("d", "prioritize(-1)", "Lower priority", "move the chosen job down"),
]
"""Only where a job of the queue can be chosen."""
LOOKING = [
    Key("1", "look_at('run')", "Run", "budget, loss, speed, devices"),
    Key("2", "look_at('queue')", "Queue", "every job; keys act on the chosen one"),
    Key("3", "look_at('scores')", "Scores", "finetuning scores by task"),
    Key("4,l", "look_at('log')", "Log", "log of the job, followed"),
    Key("5", "look_at('events')", "Events", "everything that happened"),
    Key("n", "next_run", "Next run", "show another run"),
    Key("y", "toggle_log", "Logarithmic loss", "loss on a logarithmic axis"),
    Key("z", "toggle_zoom", "Whole budget", "x axis: whole budget, or what is spent"),
]
LEAVING = [
    Key("ctrl+p", "command_palette", "Palette", "every action by name"),
    Key("question_mark,h,f1", "show_help", "Help", "this page", shown="?"),
    Key("q,ctrl+q", "quit", "Quit", "leave this view; training keeps running"),
]
