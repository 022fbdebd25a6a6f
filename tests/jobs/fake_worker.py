"""A fake worker of a grid: the protocol of bertd.glue.worker over the fake finetuner, without a model.

A trial of `wnli` waits for a file `go` next to its folder, then scores; one of `qnli` dies by SIGKILL at each try, one
of `mrpc` at its first. The others are those of the fake finetuner.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from bertd.records import FinetuneSpec, TrialOrder, WorkerReply
from bertd.run.paths import JobPaths
from tests.jobs import fake_finetuner


def reply(answer: WorkerReply) -> None:
    print(answer.model_dump_json(), flush=True)


def run(folder: Path) -> int:
    task = FinetuneSpec.model_validate_json(JobPaths(folder).finetune_spec.read_bytes()).task
    tried = folder / "tried"
    if task == "qnli" or (task == "mrpc" and not tried.exists()):
        tried.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "wnli":
        tried.touch()
        while not (folder.parent / "go").exists():
            time.sleep(0.01)
    return fake_finetuner.run(JobPaths(folder), sleeps=False)


def main() -> None:
    reply(WorkerReply(event="ready"))
    for line in sys.stdin:
        exit_code = run(Path(TrialOrder.model_validate_json(line).folder))
        reply(WorkerReply(event="done", exit_code=exit_code))
        if exit_code:
            return


if __name__ == "__main__":
    main()
