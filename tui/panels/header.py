"""The first line: the run, its state, and the connection to the daemon."""

from __future__ import annotations

from bertd.api.models import RunView
from bertd.run.durations import format_duration
from tui.display_options import DisplayOptions
from tui.formatting import clock
from tui.glyphs import Glyphs, state_role
from tui.lines import Line, Role, join_lines, justify, line
from tui.snapshot import LinkState, Snapshot


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    glyphs = options.glyphs
    link = _link_line(snapshot, glyphs)
    run = snapshot.run
    title = line(("bertd", Role.TITLE))
    if run is None:
        return [justify(title, link, width=width)]
    state = line((f"{glyphs.states[run.state]} {run.state}", state_role(run.state)))
    name = line((run.id, Role.STRONG))
    run_number = _run_number(snapshot, run)
    shortest = join_lines([name, state], separator="  ")
    full = join_lines([title, name, state, run_number, line((run.model, Role.MUTED))], separator="  ")
    for left in (full, join_lines([title, name, state], separator="  ")):
        if left.width + link.width + 2 <= width:
            return [justify(left, link, width=width)]
    return [justify(shortest.fit(min(shortest.width, max(0, width - link.width - 2))), link, width=width)]


def _run_number(snapshot: Snapshot, run: RunView) -> Line:
    """Position of the run among all runs, if there are several."""
    runs = snapshot.status.runs if snapshot.status else []
    num_runs = max(len(runs), snapshot.status.num_runs if snapshot.status else 0)
    if num_runs < 2:
        return Line()
    at = next((index for index, other in enumerate(runs) if other.id == run.id), 0)
    return line((f"run {at + 1} of {num_runs}", Role.MUTED))


def _link_line(snapshot: Snapshot, glyphs: Glyphs) -> Line:
    link = snapshot.link
    seen = f"last seen {format_duration(link.silent_s)} ago"
    match link.state:
        case LinkState.SIMULATED:
            return line((f"simulation  {clock(snapshot.now)}", Role.WAITING))
        case LinkState.CONNECTING:
            return line(("connecting", Role.WAITING))
        case LinkState.LOST:
            retry = "reconnecting" if link.retry_in_s < 1 else f"reconnecting in {format_duration(link.retry_in_s)}"
            return line((f"{glyphs.cross} daemon lost{glyphs.dot}{retry}{glyphs.dot}{seen}", Role.BAD))
        case LinkState.LIVE if not link.is_fresh:
            return line((f"daemon silent{glyphs.dot}{seen}", Role.WAITING))
        case LinkState.LIVE:
            return line((f"{glyphs.live} live", Role.GOOD), (f"  {clock(snapshot.now)}", Role.MUTED))
