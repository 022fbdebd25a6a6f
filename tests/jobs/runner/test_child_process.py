"""bertd.jobs.runner.child_process: the OOM score of a runner's child."""

from __future__ import annotations

import subprocess
import sys

RUNNER = """
from bertd.jobs.runner.child_process import StopSignal, run_child_process
run_child_process(["cat", "/proc/self/oom_score_adj"], stop_signal=StopSignal(), tick_s=1.0, on_tick=lambda _: None)
"""


def test_ranks_offer_themselves_when_memory_runs_out() -> None:
    runner = subprocess.run([sys.executable, "-c", RUNNER], capture_output=True, text=True, check=True)
    assert runner.stdout.strip() == "500"
