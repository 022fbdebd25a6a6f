"""All actions in one table: keys, name in the command palette, and help text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ChosenKeys:
    """The keys that the configuration gives an action."""

    keys: str
    """Textual's names, with commas between them."""
    label: str
    """The first one as it was written."""


KeyChoices = Mapping[str, ChosenKeys]
"""By KeyBinding.id; actions that are not in it have the keys of the table."""


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
    is_guarded: bool = False
    """Does nothing where it arrives together with other keys, as in a pasted text."""

    @property
    def id(self) -> str:
        """Its name in the configuration's [keys]; empty if it cannot be changed."""
        return self.title.lower().replace(" ", "-") if self.action else ""

    def keys_in(self, choices: KeyChoices) -> list[str]:
        """Textual's names of its keys."""
        chosen = choices.get(self.id)
        return (chosen.keys if chosen is not None else self.keys).split(",")

    def label_in(self, choices: KeyChoices) -> str:
        """The key that is shown."""
        chosen = choices.get(self.id)
        return chosen.label if chosen is not None else self.label or self.keys.split(",")[0]


JOB_KEYS = [
    KeyBinding("p", "pause_or_resume", "Pause or resume", "pause with a checkpoint, or resume", is_guarded=True),
    KeyBinding("P", "pause_hot", "Pause hot", "stop at a step, keep GPU memory; p resumes", is_guarded=True),
    KeyBinding("c", "checkpoint", "Checkpoint", "save a checkpoint at the next step", is_guarded=True),
    KeyBinding("f", "finetune", "Finetune", "finetune an export: now, in turn, later"),
    KeyBinding("S", "stop", "Stop", "stop for good: save, validate, export"),
    KeyBinding("b", "budget", "Budget", "extend or shrink the run's budget"),
    KeyBinding("n", "new_run", "New run", "queue a run of a recipe, after its plan"),
    KeyBinding("U", "undo", "Undo", "take back the last action, if possible", is_guarded=True),
]
QUEUE_KEYS = [
    KeyBinding("H", "hold", "Hold", "keep the selected job from starting", is_guarded=True),
    KeyBinding("R", "release", "Release", "let the selected job start", is_guarded=True),
    KeyBinding("u", "prioritize(1)", "Raise priority", "move the selected job up", is_guarded=True),
    KeyBinding("d", "prioritize(-1)", "Lower priority", "move the selected job down", is_guarded=True),
]
"""Shown only in views where a queued job can be selected."""
MOVE_KEYS = [
    KeyBinding("K", "move_job(-1)", "Move up", "serve the selected job before the one above", is_guarded=True),
    KeyBinding("J", "move_job(1)", "Move down", "serve it after the one below", is_guarded=True),
    KeyBinding("C", "clone_job", "Clone", "queue a job like the selected one; asks first", is_guarded=True),
]
"""Shown only in the view of the queue."""
DEVICE_KEYS = [
    KeyBinding("D", "drain", "Drain or undrain", "no more jobs on the selected device, or again", is_guarded=True),
]
"""Shown only in the view of the devices."""
COMPARE_KEYS = [
    KeyBinding("m", "mark", "Mark", "compare the selected run, or leave it out"),
    KeyBinding("x", "next_axis", "Axis", "by budget, step, time, tokens, wall time"),
    KeyBinding("v", "other_curve", "Curve", "validation loss, or training loss"),
]
"""Shown only in the view that compares runs."""
EVENT_KEYS = [
    KeyBinding("enter", "", "", "the selected event's place on the curves"),
    KeyBinding("l", "show_log", "Log at the event", "the job's log at the selected event"),
]
"""Only in the view of the events; enter belongs to its list."""
LOG_KEYS = [
    KeyBinding("r", "next_rank", "Next rank", "only the lines of one rank; then of the next, then all"),
    KeyBinding("e", "next_level", "Level", "warnings and errors; then only errors, then all"),
]
"""Only in the view of a log."""
VIEW_KEYS = [
    KeyBinding("1", "show_view('run')", "Run", "budget, loss, speed, devices"),
    KeyBinding("2", "show_view('queue')", "Queue", "all jobs; keys act on the selected one"),
    KeyBinding("3", "show_view('scores')", "Scores", "finetuning scores by task"),
    KeyBinding("4,l", "show_view('log')", "Log", "the job's log, as it is written"),
    KeyBinding("5", "show_view('events')", "Events", "all events"),
    KeyBinding("6", "show_view('devices')", "Devices", "a minute of each, processes, links, errors"),
    KeyBinding("7", "show_view('compare')", "Compare", "runs over each other, recipes side by side"),
    KeyBinding("8", "show_view('recipe')", "Recipe", "every key, its default and its meaning"),
    KeyBinding("0", "show_view('fleet')", "Fleet", "all daemons; enter shows one"),
    KeyBinding("r", "next_run", "Next run", "show another run"),
    KeyBinding("y", "toggle_log", "Logarithmic loss", "loss on a logarithmic axis"),
    KeyBinding("w", "write_view", "Write the view", "write this view as SVG, its figures as CSV"),
    KeyBinding("z", "toggle_zoom", "Whole budget", "all; then the whole budget or the spent part"),
]
CHART_KEYS = [
    KeyBinding("t,x", "screen.next_axis", "Next x axis", "x axis: budget, steps, tokens, time"),
    KeyBinding("s", "screen.next_smoothing", "Smoothing", "smoothing: weak, medium, strong, none"),
    KeyBinding("plus,equals_sign", "screen.zoom(True)", "Zoom in", "zoom in at the cursor", label="+"),
    KeyBinding("minus", "screen.zoom(False)", "Zoom out", "zoom out", label="-"),
    KeyBinding("left", "screen.move_cursor(-1)", "Cursor left", "cursor with the values there", label="left, right"),
    KeyBinding("right", "screen.move_cursor(1)", "Cursor right", ""),
    KeyBinding("shift+left", "screen.move_cursor(-10)", "Cursor far left", "cursor by ten columns", label="shift+left"),
    KeyBinding("shift+right", "screen.move_cursor(10)", "Cursor far right", ""),
    KeyBinding("comma", "screen.pan(-1)", "Pan left", "move the zoomed part", label=", ."),
    KeyBinding("full_stop", "screen.pan(1)", "Pan right", ""),
    KeyBinding("m", "screen.choose_reference", "Compare with", "compare with another run, or the paper"),
]
"""Of the charts, in Run."""
LIST_KEYS = [
    KeyBinding("slash", "search", "Search", "search the log; filter queue, scores, events", label="/"),
    KeyBinding("up,down,j,k", "", "", "move by a line", label="up, down"),
    KeyBinding("pageup,pagedown", "", "", "move by a screen", label="pgup, dn"),
    KeyBinding("home,end,g,G", "", "", "to the start, to the end", label="g, G"),
    KeyBinding("enter", "", "", "in Queue: show that job's run", label="enter"),
    KeyBinding("n,N", "", "", "in a search of the log: next, previous", label="n, N"),
    KeyBinding("escape", "dismiss_message", "", "close a dialog, a search, a message", label="esc"),
    KeyBinding("ctrl+l", "", "", "paint the screen again"),
]
"""Keys of views with lines; those without an action belong to a widget."""
REPLAY_KEYS = [
    KeyBinding("space,o", "replay_pause", "Pause the replay", "pause the replay, or go on; in lists only o"),
    KeyBinding("less_than_sign", "replay_speed(0.5)", "Slower", "play at half the speed, or at twice", label="< >"),
    KeyBinding("greater_than_sign", "replay_speed(2.0)", "Faster", ""),
    KeyBinding("left_square_bracket", "replay_jump(-0.05)", "Jump back", "jump by 5 % of the run's time", label="[ ]"),
    KeyBinding("right_square_bracket", "replay_jump(0.05)", "Jump ahead", ""),
]
"""Only where a journal is played."""
APP_KEYS = [
    KeyBinding("ctrl+p", "command_palette", "Palette", "all actions by name"),
    KeyBinding("question_mark,h,f1", "show_help", "Help", "this page", label="?"),
    KeyBinding("ctrl+z", "suspend_process", "Suspend", "leave to the shell; fg comes back"),
    KeyBinding("q,ctrl+q", "quit", "Quit", "quit the dashboard; training keeps running", is_guarded=True),
]


_APP_TABLES = (JOB_KEYS, VIEW_KEYS, LIST_KEYS, REPLAY_KEYS, APP_KEYS)
_SCREEN_TABLES = (CHART_KEYS, [*QUEUE_KEYS, *MOVE_KEYS], DEVICE_KEYS, COMPARE_KEYS, EVENT_KEYS, LOG_KEYS)
VIEW_TABLES = tuple([key for table in (*_APP_TABLES, screen) for key in table] for screen in _SCREEN_TABLES)
"""All keys that work in each view that has keys of its own."""
KEYS_BY_ID = {key.id: key for table in VIEW_TABLES for key in table if key.id}


def label_of(id: str, choices: KeyChoices) -> str:
    """The shown key of an action."""
    return KEYS_BY_ID[id].label_in(choices)


def guarded_keys(choices: KeyChoices) -> frozenset[str]:
    """The characters that are refused inside a burst of keys."""
    tables = (JOB_KEYS, QUEUE_KEYS, MOVE_KEYS, DEVICE_KEYS, APP_KEYS)
    keys = (name for table in tables for key in table if key.is_guarded for name in key.keys_in(choices))
    return frozenset(name for name in keys if is_character_name(name))


def is_character_name(name: str) -> bool:
    """Whether a pasted text can hold the key: not with ctrl, nor a function key."""
    return "+" not in name and not (name[0] == "f" and name[1:].isdecimal())
