"""Wait until a dashboard has shown what its workers asked for."""

from __future__ import annotations

import time

from textual.pilot import Pilot

from tests.tui.screen_text import screen_text
from tests.waiting import PATIENCE_S


async def settled(pilot: Pilot[None]) -> None:
    """Let the workers end, and show what they brought.

    Not by `workers.wait_for_complete`: it raises when a newer worker has taken the place of one that it waits for, a
    matter of chance on a busy machine.
    """
    await pilot.pause()
    end_s, num_quiet = time.monotonic() + PATIENCE_S, 0
    # Twice: what a worker brought, or a key moved, may start the next one.
    while num_quiet < 2:
        working = [worker for worker in pilot.app.workers if not worker.is_finished]
        assert time.monotonic() < end_s, f"still at work: {working}"
        num_quiet = 0 if working else num_quiet + 1
        await (pilot.pause(0.01) if working else pilot.pause())


async def eventually(pilot: Pilot[None], words: str) -> bool:
    """Wait until the screen shows the words."""
    end_s = time.monotonic() + PATIENCE_S
    while words not in screen_text(pilot.app) and time.monotonic() < end_s:
        await pilot.pause(0.01)
    return words in screen_text(pilot.app)
