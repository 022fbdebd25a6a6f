"""`python -m bertd.glue JOB_FOLDER`: run the finetuning in finetune.json and write its score to the journal.

The journal gets `step` records (loss is the task's loss: cross-entropy in nats, or squared error; charged_s is the
job's running time, which is not charged to any budget), one `score`, one `end`. Exit status 0, or that of the
BertdError, which is also written as an alert. SIGTERM ends the job at once; started again, it continues after the
newest epoch that it saved.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bertd.errors import BertdError, DeviceError, DeviceMemoryError, RunFolderError, StorageError
from bertd.glue.progress import ProgressJournal
from bertd.program import print_error, run_main
from bertd.records import FinetuneSpec
from bertd.run.journal import JournalWriter
from bertd.run.machine.gpu_share import read_gpu_parts
from bertd.run.paths import JobPaths
from bertd.validation_text import describe_problem

if TYPE_CHECKING:
    from bertd.glue.task_cache import TaskCache


def read_spec(paths: JobPaths) -> FinetuneSpec:
    """Read the job's finetune.json.

    Raises:
        RunFolderError: it is missing or not a valid specification.
    """
    try:
        spec = FinetuneSpec.model_validate_json(paths.finetune_spec.read_bytes())
    except OSError as error:
        raise RunFolderError(
            f"{paths.finetune_spec}: cannot read: {error.strerror}; give the folder of a finetuning job"
        ) from error
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"])) or "the file"
        raise RunFolderError(f"{paths.finetune_spec}: {where}: {describe_problem(detail)}; fix it") from error
    limits = {
        "seed": 0 <= spec.seed < 2**31,
        "lr": spec.lr > 0,
        "batch_size": spec.batch_size > 0,
        "epochs": spec.epochs > 0,
        "weight_decay": spec.weight_decay >= 0,
        "warmup": 0 <= spec.warmup < 1,
        "max_length": spec.max_length >= 8,
    }
    for field, is_within in limits.items():
        if not is_within:
            raise RunFolderError(f"{paths.finetune_spec}: {field} = {getattr(spec, field)}: out of range; fix it")
    return spec


def main(argv: list[str]) -> int:
    """Run the job in the folder; return the exit status."""
    began_s = time.monotonic()
    if len(argv) != 1:
        print("usage: python -m bertd.glue JOB_FOLDER", file=sys.stderr)
        return 2
    return run_main(lambda: run_folder(JobPaths(Path(argv[0])), began_s=began_s), name="", is_logged=True)


def run_folder(paths: JobPaths, *, began_s: float, tasks: TaskCache | None = None) -> int:
    """Run the finetuning in the folder and return the exit status; a failure is in the journal and the log.

    Args:
        paths: of the finetuning.
        began_s: time.monotonic() at which its running time begins.
        tasks: has the task, perhaps, if this process has finetuned before.

    Raises:
        RunFolderError: the spec is missing or wrong.
        StorageError: the journal cannot be opened.
    """
    spec = read_spec(paths)
    journal = JournalWriter(paths.journal)
    progress = ProgressJournal(journal, began_s=began_s)
    try:
        _finetune(spec, paths=paths, journal=journal, progress=progress, tasks=tasks)
    except BertdError as error:
        if not isinstance(error, DeviceError | StorageError):
            # Started again, it would fail again.
            shutil.rmtree(paths.epoch_state, ignore_errors=True)
        return _report_failure(error, progress)
    except Exception as error:
        # The edge of this process: the runner reads the status, people read the log.
        if (memory_error := _out_of_memory_error(error, spec)) is not None:
            return _report_failure(memory_error, progress)
        traceback.print_exc()
        return 1
    finally:
        journal.close()
    return 0


def _report_failure(error: BertdError, progress: ProgressJournal) -> int:
    # The journal has the message as it is, and so has the log.
    print_error(str(error), name="")
    progress.report_failure(error)
    return error.exit_code


def _finetune(
    spec: FinetuneSpec,
    *,
    paths: JobPaths,
    journal: JournalWriter,
    progress: ProgressJournal,
    tasks: TaskCache | None,
) -> None:
    wait_passively()

    from bertd.glue.job import finetune

    finetune(spec, paths=paths, journal=journal, progress=progress, tasks=tasks)


def wait_passively() -> None:
    """Have torch's threads sleep while they wait; takes effect only before torch is loaded.

    By default they spin: next to another busy process on two cores, an epoch of the demo's task then takes 254 s
    instead of 42 s.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _out_of_memory_error(error: Exception, spec: FinetuneSpec) -> DeviceMemoryError | None:
    from bertd.train.oom import out_of_memory_reason  # imports torch, after OMP_WAIT_POLICY is set

    reason = out_of_memory_reason(error)
    if reason is None:
        return None
    given = f"batch_size = {spec.batch_size}, max_length = {spec.max_length}"
    parts = read_gpu_parts(os.environ)
    more = (
        "end other users of the memory"
        if parts == 1
        else f"give each a larger part than one of {parts}: `bertd start --finetunings-per-gpu {parts - 1}`"
    )
    return DeviceMemoryError(f"{spec.task}: {reason}; lower one of {given}, or {more}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
