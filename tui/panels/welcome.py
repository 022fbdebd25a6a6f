"""The message that is shown while there is no run."""

from __future__ import annotations

from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, line, wrap_words
from tui.panels import outline
from tui.snapshot import LinkState, Snapshot


def is_first_connecting(snapshot: Snapshot) -> bool:
    """Whether the daemon has not answered yet, and nothing says that it will not."""
    return snapshot.status is None and snapshot.link.state is LinkState.CONNECTING and not snapshot.link.problem


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    link = snapshot.link
    if snapshot.status is None:
        if is_first_connecting(snapshot):
            return outline.draw(options, width, height)
        return [
            line(("No daemon yet.", Role.STRONG)),
            *(line((row, Role.TEXT)) for row in wrap_words(link.problem, max(1, width))),
            line(),
            line(("This screen connects automatically when a daemon starts.", Role.MUTED)),
            line(("To try the dashboard without a daemon: ", Role.MUTED), "bert-tui --demo"),
        ][:height]
    return [
        line(("No run yet.", Role.STRONG)),
        line(("Start one: ", Role.MUTED), "bertd submit demo"),
    ][:height]
