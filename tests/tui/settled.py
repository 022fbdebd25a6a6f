"""Wait until a dashboard has shown what its workers asked for."""

from __future__ import annotations

import time

from textual.pilot import Pilot

from tests.waiting import PATIENCE_S


async def settled(pilot: Pilot[None]) -> None:
    """Let the workers end, and show what they brought.

    Not by `workers.wait_for_complete`: it raises when a newer worker has taken the place of one that it waits for, a
    matter of chance on a busy machine.
    """
    await pilot.pause()
    end_s = time.monotonic() + PATIENCE_S
    while working := [worker for worker in pilot.app.workers if not worker.is_finished]:
        assert time.monotonic() < end_s, f"still at work: {working}"
        await pilot.pause(0.01)
    await pilot.pause()
