"""The real runner over fake compute: `python -m tests.jobs.fake_runner PLAN.json JOB_FOLDER KIND`."""

from __future__ import annotations

import sys
from pathlib import Path

from bertd.jobs.runner.__main__ import main
from bertd.jobs.runner.restart_policy import RestartPolicy
from bertd.jobs.runner.run_job import RunnerConfig
from bertd.jobs.runner.watchdog import HangTimeouts
from bertd.run.paths import JobPaths, RunPaths
from tests.jobs.fake_ranks import Plan

PLAN = sys.argv[1]


def launch(paths: RunPaths, attempt: int) -> list[str]:
    """Fake ranks."""
    command = [sys.executable, "-m", "tests.jobs.fake_ranks", str(paths.root), "--attempt", str(attempt)]
    return [*command, "--plan", PLAN]


def export(paths: RunPaths) -> list[str]:
    """A fake export."""
    return [sys.executable, "-m", "tests.jobs.fake_export", PLAN, str(paths.root)]


def finetune(paths: JobPaths) -> list[str]:
    """A fake finetuner."""
    return [sys.executable, "-m", "tests.jobs.fake_finetuner", str(paths.root)]


def worker() -> list[str]:
    """A fake worker of a grid."""
    return [sys.executable, "-m", "tests.jobs.fake_worker"]


def tracker(paths: RunPaths, name: str) -> list[str]:
    """The planned command, or the real tracker at the priority of all: at its own it waits for all other tests."""
    code = (
        "import sys; from bertd.program import run_main; from bertd.trackers import __main__ as tracker\n"
        "tracker.LOWEST_PRIORITY = 0\n"
        "sys.exit(run_main(lambda: tracker.main(sys.argv[2:]), is_logged=True))"
    )
    return PLANNED.tracker or [sys.executable, "-c", code, "bertd.trackers", str(paths.root), name]


if __name__ == "__main__":
    PLANNED = Plan.model_validate_json(Path(PLAN).read_bytes())
    timeouts = HangTimeouts(step_s=PLANNED.patience_s)
    policy = RestartPolicy(prompt_delay_s=0.02, first_delay_s=0.02)
    config = RunnerConfig(
        launch=launch,
        export=export,
        finetune=finetune,
        worker=worker,
        tracker=tracker,
        policy=policy,
        timeouts=timeouts,
        command_grace_s=PLANNED.grace_s,
    )
    sys.exit(main(sys.argv[2:], config=config))
