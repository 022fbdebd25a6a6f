"""`python -m bertd.glue.worker`: run the trials of a grid, one after another, in one process.

Standard input has a TrialOrder a line, standard output a WorkerReply a line: `ready` once the libraries are loaded,
`done` after each trial. What a trial prints goes to standard error, the job's log. The worker ends when its input does,
and after a trial that failed: memory or a device may be in a state in which the next trial would fail too.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bertd.errors import BertdError, RecipeError
from bertd.glue.__main__ import run_folder, wait_passively
from bertd.program import loading_libraries, print_error, run_main
from bertd.records import TrialOrder, WorkerReply
from bertd.run.paths import JobPaths

if TYPE_CHECKING:
    from bertd.glue.task_cache import TaskCache


def main() -> int:
    """Answer each order until the input ends or a trial fails; return the exit status.

    Raises:
        RecipeError: a line is not an order.
    """
    replies = os.dup(1)
    os.dup2(2, 1)
    wait_passively()
    with loading_libraries():
        import bertd.glue.job  # noqa: F401 - loads torch and transformers before the first order, once for all trials
        from bertd.glue.task_cache import TaskCache

    tasks = TaskCache()
    _reply(replies, WorkerReply(event="ready"))
    for line in sys.stdin:
        try:
            order = TrialOrder.model_validate_json(line)
        except ValidationError as error:
            raise RecipeError(
                f"standard input: {line[:80]!r}: not an order of a trial; the runner writes them"
            ) from error
        exit_code = _run_trial(Path(order.folder), tasks=tasks)
        _reply(replies, WorkerReply(event="done", exit_code=exit_code))
        if exit_code != 0:
            break
    return 0


def _run_trial(folder: Path, *, tasks: TaskCache) -> int:
    try:
        return run_folder(JobPaths(folder), began_s=time.monotonic(), tasks=tasks)
    except BertdError as error:
        # The journal cannot be opened, or the spec cannot be read: the log has the reason.
        print_error(str(error), name="")
        return error.exit_code


def _reply(fd: int, reply: WorkerReply) -> None:
    os.write(fd, reply.model_dump_json().encode() + b"\n")


if __name__ == "__main__":
    sys.exit(run_main(main, name="", is_logged=True))
