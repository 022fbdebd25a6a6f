"""The real runner over fake compute: `python -m tests.jobs.fake_runner PLAN.json JOB_FOLDER KIND`."""

from __future__ import annotations

import sys

from bertd.jobs.restart_policy import RestartPolicy
from bertd.jobs.runner import Programs, main
from bertd.jobs.watchdog import Patience
from bertd.run.paths import JobPaths, RunPaths

PLAN = sys.argv[1]


def launch(paths: RunPaths, attempt: int) -> list[str]:
    """Fake ranks."""
    command = [sys.executable, "-m", "tests.jobs.fake_ranks", str(paths.root), "--attempt", str(attempt)]
    return [*command, "--plan", PLAN]


def finetune(paths: JobPaths) -> list[str]:
    """A fake finetuner."""
    return [sys.executable, "-m", "tests.jobs.fake_finetuner", str(paths.root)]


PATIENCE = Patience(before_first_step_s=60.0, floor_s=2.0)

if __name__ == "__main__":
    policy = RestartPolicy(first_delay_s=0.02)
    sys.exit(main(sys.argv[2:], programs=Programs(launch=launch, finetune=finetune, policy=policy, patience=PATIENCE)))
