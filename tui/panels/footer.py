"""The last line: the keys, and a note that training keeps running after quitting."""

from __future__ import annotations

from collections.abc import Sequence

from bertd.records import JobState
from tui.display_options import DisplayOptions
from tui.lines import Line, Role, join_lines, justify, line
from tui.snapshot import LinkState, Snapshot

KeyHints = Sequence[tuple[str, str]]
"""Pairs of key and action."""


def draw(
    snapshot: Snapshot, options: DisplayOptions, width: int, height: int, *, extra_keys: KeyHints = ()
) -> list[Line]:
    """The footer; `extra_keys` are this view's action keys in addition to those of the run."""
    if snapshot.link.state is LinkState.LOST:
        return [
            justify(
                line((snapshot.link.problem, Role.WAITING)), line(("q", Role.KEY), (" quit", Role.MUTED)), width=width
            )
        ]
    run = snapshot.run
    pause = "resume" if run is not None and run.state is JobState.PAUSED else "pause"
    acting = [("p", pause), ("c", "checkpoint"), ("f", "finetune"), ("S", "stop")]
    has_others = snapshot.status is not None and len(snapshot.status.runs) > 1
    looking = [*([("n", "next run")] if has_others else []), ("?", "help"), ("q", "quit")]
    keys = ([] if options.is_readonly else [*acting, *extra_keys]) + looking
    with_views = [*keys[:-2], ("1-5", "views"), *keys[-2:]]
    candidates = [_key_line(some, gap) for some in (with_views, keys) for gap in (3, 2, 1)]
    left = next((text for text in candidates if text.width <= width), candidates[-1])
    is_training = run is not None and run.state is JobState.RUNNING
    note = "read-only" if options.is_readonly else "training keeps running" if is_training else ""
    return [justify(left, line((note, Role.FAINT)), width=width)]


def _key_line(keys: list[tuple[str, str]], gap: int) -> Line:
    texts = [line((key, Role.KEY), (f" {word}", Role.MUTED)) for key, word in keys]
    return join_lines(texts, separator=" " * gap)
