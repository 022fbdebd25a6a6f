"""A fake export of a run's newest checkpoint: `python -m tests.jobs.fake_export PLAN.json RUN_FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from bertd.run.paths import RunPaths, newest_first
from tests.jobs.fake_ranks import Plan

ARCHITECTURE = "MegatronBertForMaskedLM"


def main(plan_path: str, folder: str) -> int:
    """Make it, or fail as the plan says."""
    plan = Plan.model_validate_json(Path(plan_path).read_bytes())
    if not plan.export_exit_code:
        paths = RunPaths(Path(folder))
        export = paths.exports / newest_first(paths.checkpoints)[0].name
        export.mkdir(parents=True)
        (export / "config.json").write_text(f'{{"architectures": ["{ARCHITECTURE}"]}}')
    return plan.export_exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
