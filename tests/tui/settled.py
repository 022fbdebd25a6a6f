"""Wait until a dashboard has shown what its workers asked for."""

from __future__ import annotations

from textual.pilot import Pilot


async def settled(pilot: Pilot[None]) -> None:
    """Let the workers end, and show what they brought."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
