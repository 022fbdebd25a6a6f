"""The entry of `bert-tui`: reads the arguments and starts the screen, or prints instead."""

from __future__ import annotations

import os
import sys
from tui.look import Look
from tui.simulated.feed import SimulatedFeed


def main() -> None:
    from tui.dashboard import Dashboard
    Dashboard(SimulatedFeed(), look=Look()).run()
