"""The first line: which run, in which state, and whether the daemon is heard."""

from __future__ import annotations

from bertd.run.durations import format_duration
from bertd.wire import RunView
from tui.glyphs import Glyphs, state_role
from tui.lines import Line, Role, ends, joined, line
from tui.look import Look
from tui.quantities import clock
from tui.snapshot import LinkState, Snapshot


def draw(snapshot: Snapshot, look: Look, width: int, height: int) -> list[Line]:
    glyphs = look.glyphs
    link = _link(snapshot, glyphs)
    run = snapshot.run
    title = line(("bertd", Role.TITLE))
    if run is None:
        return [ends(title, link, width=width)]
    state = line((f"{glyphs.states[run.state]} {run.state}", state_role(run.state)))
    name = line((run.id, Role.STRONG))
    others = _others(snapshot, run)
    shortest = joined([name, state], separator="  ")
    full = joined([title, name, state, others, line((run.model, Role.MUTED))], separator="  ")
    for left in (full, joined([title, name, state], separator="  ")):
        if left.width + link.width + 2 <= width:
            return [ends(left, link, width=width)]
    return [ends(shortest.fit(min(shortest.width, max(0, width - link.width - 2))), link, width=width)]


def _others(snapshot: Snapshot, run: RunView) -> Line:
    """How many more runs there are to look at."""
    runs = snapshot.status.runs if snapshot.status else []
    if len(runs) < 2:
        return Line()
    at = next((index for index, other in enumerate(runs) if other.id == run.id), 0)
    return line((f"run {at + 1} of {len(runs)}", Role.MUTED))


def _link(snapshot: Snapshot, glyphs: Glyphs) -> Line:
    link = snapshot.link
    seen = f"last seen {format_duration(link.silent_s)} ago"
    match link.state:
        case LinkState.SIMULATED:
            return line((f"simulated box  {clock(snapshot.now)}", Role.WAITING))
        case LinkState.CONNECTING:
            return line(("connecting", Role.WAITING))
        case LinkState.LOST:
            retry = "reconnecting" if link.retry_in_s < 1 else f"reconnecting in {format_duration(link.retry_in_s)}"
            return line((f"{glyphs.cross} daemon lost{glyphs.dot}{retry}{glyphs.dot}{seen}", Role.BAD))
        case LinkState.LIVE if not link.is_fresh:
            return line((f"daemon silent{glyphs.dot}{seen}", Role.WAITING))
        case LinkState.LIVE:
            return line((f"{glyphs.live} live", Role.GOOD), (f"  {clock(snapshot.now)}", Role.MUTED))
