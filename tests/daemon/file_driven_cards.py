"""The stand-in's eight cards in a daemon's process, broken and repaired by files that a test makes: lost-3, hang-2."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from bertd.run.machine.stand_in_nvml import Card, StandInNvml


class FileDrivenNvml(StandInNvml):
    """Looks for the files at each question."""

    def __init__(self, folder: Path) -> None:
        began_s = time.monotonic()
        super().__init__(lambda: time.monotonic() - began_s)
        self._folder = folder

    def _answering(self, card: Card) -> Card:
        while (self._folder / f"hang-{card.index}").exists():
            time.sleep(0.02)
        is_lost = (self._folder / f"lost-{card.index}").exists()
        card.lost_at_s = 0.0 if is_lost else math.inf
        return super()._answering(card)

    def nvmlEventSetWait_v2(self, events: list[Card], timeout_ms: int) -> Any:  # noqa: N802
        # Losses alone are tested with it.
        raise self.NVMLError(10, "Timeout")
