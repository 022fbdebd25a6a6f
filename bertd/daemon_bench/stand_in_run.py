"""`python -m bertd.daemon_bench.stand_in_run FOLDER STEP`: hold a run's lock; append a step a second to its journal."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from bertd.daemon_bench.seeded_state import start_record, step_record
from bertd.jobs.runner.run_job import job_lock
from bertd.run.atomic_files import atomic_write
from bertd.run.journal import append_records
from bertd.run.machine.processes import own_identity
from bertd.run.paths import RunPaths


def main() -> None:
    """Run until killed."""
    run = RunPaths(Path(sys.argv[1]))
    with job_lock(run):
        atomic_write(run.runner, own_identity().model_dump_json())
        append_records(run.journal, [start_record(time.time())])
        print("holds the job", flush=True)
        for step in itertools.count(int(sys.argv[2])):
            append_records(run.journal, [step_record(step, t=time.time())])
            time.sleep(1.0)


if __name__ == "__main__":
    main()
