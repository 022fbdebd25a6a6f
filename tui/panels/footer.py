"""The keys, and the promise that leaving the viewer leaves the training alone."""

from __future__ import annotations

from bertd.records import JobState
from tui.lines import Line, Role, ends, line
from tui.look import Look
from tui.snapshot import Snapshot


def draw(snapshot: Snapshot, look: Look, width: int, height: int) -> list[Line]:
    run = snapshot.run
    pause = "resume" if run is not None and run.state is JobState.PAUSED else "pause"
    acting = [("p", pause), ("c", "checkpoint"), ("f", "finetune"), ("S", "stop")]
    keys = ([] if look.is_readonly else acting) + [("?", "help"), ("q", "quit")]
    left = Line()
    for key, word in keys:
        left += line((key, Role.KEY), (f" {word}   ", Role.MUTED))
    promise = "read-only" if look.is_readonly else "training keeps running"
    return [ends(left, line((promise, Role.FAINT)), width=width)]
