"""The first line: the run, its state, and the connection to the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertd.records import JobKind
from bertd.run.amounts.durations import format_duration
from tui.display_options import DisplayOptions
from tui.drawing.formatting import clock
from tui.drawing.glyphs import Glyphs, state_role
from tui.drawing.lines import Line, Role, join_lines, justify, line
from tui.snapshot import LinkState, Snapshot, is_active

if TYPE_CHECKING:
    from bertd.api.models import RunView

_MIN_NAME_CELLS = 4
_MAX_HOST_CELLS = 24


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    """The state and the connection always; the name as far as it fits; the rest if there is room."""
    glyphs = options.glyphs
    links = _link_lines(snapshot, glyphs)
    run = snapshot.run
    host = line((snapshot.host, Role.TITLE)).cut(_MAX_HOST_CELLS) if snapshot.host else Line()
    title = join_lines([line(("bertd", Role.TITLE)), host], separator=" ")
    if run is None:
        return [justify(title, links[0], width=width)]
    is_known = snapshot.link.is_fresh
    word = f"{glyphs.states[run.state]} {run.state}" if is_known else f"? {run.state} when last seen"
    state = line((word, state_role(run.state) if is_known else Role.WAITING))
    name, number = line((run.id, Role.STRONG)), _run_number(snapshot, run)
    other = _other_run(snapshot, run)
    model = line((run.model, Role.MUTED))
    for left in (
        [title, name, state, number, other, model],
        [title, name, state, number, other],
        [title, name, state, number],
        [host, name, state, number],
        [host, name, state],
    ):
        whole = join_lines(left, separator="  ")
        if whole.width + links[0].width + 2 <= width:
            return [justify(whole, links[0], width=width)]
    for link in links:
        available = width - state.width - 2 - (link.width + 2 if link.width else 0)
        if available >= min(name.width, _MIN_NAME_CELLS) or not link.width:
            break
    if host.width and available >= host.width + 2 + _MIN_NAME_CELLS:
        return [
            justify(join_lines([host, name.cut(available - host.width - 2), state], separator="  "), link, width=width)
        ]
    left = [state] if available < 1 else [name.cut(available), state]
    return [justify(join_lines(left, separator="  ").cut(width), link, width=width)]


def _run_number(snapshot: Snapshot, run: RunView) -> Line:
    """Position of the run among all runs, the newest first, if there are several."""
    status = snapshot.status
    if status is None:
        return Line()
    runs = {one.id for one in status.jobs if one.kind is JobKind.PRETRAIN}
    if status.num_jobs > len(status.jobs):
        return line((f"{status.num_runs} runs are not over", Role.MUTED)) if status.num_runs > 1 else Line()
    newest_first = sorted({*runs, *(one.job_id for one in status.runs), run.job_id}, reverse=True)
    if len(newest_first) < 2:
        return Line()
    return line((f"run {newest_first.index(run.job_id) + 1} of {len(newest_first)}", Role.MUTED))


def _other_run(snapshot: Snapshot, run: RunView) -> Line:
    """The run that trains while this one does not: n shows it."""
    active = [one for one in snapshot.status.runs if is_active(one)] if snapshot.status else []
    if is_active(run) or not active:
        return Line()
    return line((f"{active[0].id} is {active[0].state}", Role.GOOD))


def _link_lines(snapshot: Snapshot, glyphs: Glyphs) -> list[Line]:
    """The connection in full, in one or two words, and not at all."""
    short = {
        LinkState.SIMULATED: line(("simulation", Role.WAITING)),
        LinkState.CONNECTING: line(("no daemon", Role.WAITING)),
        LinkState.LOST: line((f"{glyphs.cross} daemon lost", Role.BAD)),
        LinkState.REPLAY: line((_replay_words(snapshot), Role.WAITING)),
        LinkState.LIVE: line((f"{glyphs.live} live", Role.GOOD)),
    }
    is_silent = snapshot.link.state is LinkState.LIVE and not snapshot.link.is_fresh
    word = line(("daemon silent", Role.WAITING)) if is_silent else short[snapshot.link.state]
    return [_link_line(snapshot, glyphs), word, Line()]


def _link_line(snapshot: Snapshot, glyphs: Glyphs) -> Line:
    link = snapshot.link
    seen = f"last seen {format_duration(link.silent_s)} ago"
    match link.state:
        case LinkState.SIMULATED:
            return line((f"simulation  {clock(snapshot.now)}", Role.WAITING))
        case LinkState.REPLAY:
            return line((f"{_replay_words(snapshot)}  {clock(snapshot.now)}", Role.WAITING))
        case LinkState.CONNECTING:
            return line(("no daemon yet" if link.problem else "connecting", Role.WAITING))
        case LinkState.LOST:
            retry = "reconnecting" if link.retry_in_s < 1 else f"reconnecting in {format_duration(link.retry_in_s)}"
            return line((f"{glyphs.cross} daemon lost{glyphs.dot}{retry}{glyphs.dot}{seen}", Role.BAD))
        case LinkState.LIVE if not link.is_fresh:
            return line((f"daemon silent{glyphs.dot}{seen}", Role.WAITING))
        case LinkState.LIVE:
            return line((f"{glyphs.live} live", Role.GOOD), (f"  {clock(snapshot.now)}", Role.MUTED))


def _replay_words(snapshot: Snapshot) -> str:
    """`replay 60x`, and whether it is paused or at the end."""
    playback = snapshot.playback
    if playback is None:
        return "replay"
    still = " paused" if playback.is_paused else " at the end" if playback.is_at_end else ""
    return f"replay {playback.speed:g}x{still}"
