"""The keys, and the promise that leaving the viewer leaves the training alone."""

from __future__ import annotations

from collections.abc import Sequence

from bertd.records import JobState
from tui.lines import Line, Role, ends, joined, line
from tui.look import Look
from tui.snapshot import LinkState, Snapshot

Keys = Sequence[tuple[str, str]]
"""Keys with what they do."""


def draw(snapshot: Snapshot, look: Look, width: int, height: int, *, more: Keys = ()) -> list[Line]:
    """`more` are the acting keys of this view besides those of the run."""
    if snapshot.link.state is LinkState.LOST:
        return [
            ends(line((snapshot.link.problem, Role.WAITING)), line(("q", Role.KEY), (" quit", Role.MUTED)), width=width)
        ]
    run = snapshot.run
    pause = "resume" if run is not None and run.state is JobState.PAUSED else "pause"
    acting = [("p", pause), ("c", "checkpoint"), ("f", "finetune"), ("S", "stop")]
    has_others = snapshot.status is not None and len(snapshot.status.runs) > 1
    looking = [*([("n", "next run")] if has_others else []), ("?", "help"), ("q", "quit")]
    keys = ([] if look.is_readonly else [*acting, *more]) + looking
    with_views = [*keys[:-2], ("1-5", "views"), *keys[-2:]]
    spaced = [_keys(some, gap) for some in (with_views, keys) for gap in (3, 2, 1)]
    left = next((text for text in spaced if text.width <= width), spaced[-1])
    is_training = run is not None and run.state is JobState.RUNNING
    promise = "read-only" if look.is_readonly else "training keeps running" if is_training else ""
    return [ends(left, line((promise, Role.FAINT)), width=width)]


def _keys(keys: list[tuple[str, str]], gap: int) -> Line:
    texts = [line((key, Role.KEY), (f" {word}", Role.MUTED)) for key, word in keys]
    return joined(texts, separator=" " * gap)
