"""One rank: `python -m bertd.train.distributed.worker RUN_FOLDER --attempt N [--store FILE]`, started by the launcher.

torchrun can start it across machines, if another process keeps the run's ledger open, as the runner does here.

Exit status: 0 after an end or a pause, which the journal distinguishes; that of the BertdError class otherwise. A rank
whose parent dies is killed by the kernel, so that nothing is left to hold a GPU.

Torch is imported only after the kernel was asked for that signal: the import takes seconds, and a rank whose parent
died meanwhile must not run alongside those of the next attempt.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from threading import Event

from bertd.errors import BertdError, DeviceError, DeviceMemoryError
from bertd.program import loading_libraries, print_error, run_main
from bertd.records import AlertRecord
from bertd.run.journal import append_records
from bertd.run.journal_digest import read_progress
from bertd.run.machine.child_processes import die_with_parent
from bertd.run.paths import RunPaths
from bertd.run.ranks.heartbeat import DUMP_STACKS_SIGNAL, HEARTBEAT_VARIABLE, Heartbeat, Phase
from bertd.run.ranks.meeting import NODE_WATCH_VARIABLE
from bertd.run.ranks.rank_failures import FAILURES_VARIABLE, report_failure


def main() -> int:
    """Run one rank to its end."""
    began_s = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m bertd.train.distributed.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int, default=1)
    parser.add_argument("--store", type=Path, help="rendezvous file of the ranks; without it, torchrun's address")
    parser.add_argument("--launcher", type=int, help="pid of the launcher")
    args = parser.parse_args()
    die_with_parent(args.launcher)
    with loading_libraries():
        from bertd.train.autotune.kernels import compiler_failure_reason
        from bertd.train.oom import out_of_memory_reason

    paths = RunPaths(args.run.resolve())
    stop_signal = Event()
    # Before the first heartbeat: the runner requests stacks only from ranks that have written one.
    faulthandler.register(DUMP_STACKS_SIGNAL, all_threads=True)
    signal.signal(signal.SIGTERM, lambda *_: stop_signal.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        train(paths, attempt=args.attempt, store=args.store, stop_signal=stop_signal, began_s=began_s)
    except BertdError as error:
        return _report_failure(paths, error)
    except Exception as error:
        if (reason := out_of_memory_reason(error)) is not None:
            # Perhaps of this rank only: the others learn of it only by its exit status.
            rank = os.environ.get("RANK", "0")
            remedy = 'lower batch.micro, or let it be "auto"'
            return _report_failure(paths, DeviceMemoryError(f"rank {rank}: {reason}; {remedy}"))
        traceback.print_exc()
        if (failure := compiler_failure_reason(error)) is not None:
            remedy = 'set precision.kernels = "eager", or fix the compiler; the log has its traceback'
            return _report_failure(paths, DeviceError(f"the compiler failed: {failure}; {remedy}"))
        return _report_unexpected(error)
    return 0


def train(paths: RunPaths, *, attempt: int, store: Path | None, stop_signal: Event, began_s: float) -> None:
    """Open the run, join the other ranks, and train until the end or a pause.

    Args:
        began_s: CLOCK_MONOTONIC at the launch of this rank, before torch was imported.
    """
    heartbeat = Heartbeat(os.environ.get(HEARTBEAT_VARIABLE), rank=int(os.environ.get("RANK", "0")))
    heartbeat.beat(Phase.START, step=0)
    with loading_libraries():
        from bertd.train.backends.deterministic import use_deterministic_algorithms
        from bertd.train.build_trainer import build_trainer
        from bertd.train.distributed.peer_watch import watch_peers
        from bertd.train.distributed.process_group import join_ranks, leave_ranks
        from bertd.train.loop.startup import StartupTimer
        from bertd.train.run_inputs import load_run_inputs

    run_inputs = load_run_inputs(paths)
    use_deterministic_algorithms(run_inputs.recipe)
    ranks = join_ranks(run_inputs.recipe.devices, store=store)
    run_inputs = run_inputs.with_nodes(ranks.num_nodes)
    other_machines = os.environ.get(NODE_WATCH_VARIABLE)
    # Ranks with a rendezvous file are on one machine.
    knows_machines = store is not None or other_machines is not None
    with watch_peers(ranks, knows_machines=knows_machines, other_machines=other_machines) as peer_watch:
        trainer = build_trainer(
            run_inputs,
            ranks=ranks,
            attempt=attempt,
            stop_signal=stop_signal,
            heartbeat=heartbeat,
            startup=StartupTimer(began_s=began_s),
        )
        peer_watch.is_writing = lambda: trainer.is_writing
        try:
            trainer.run()
        finally:
            # Also after an error, for records of the journal that wait for space on the disk.
            trainer.close()
    leave_ranks(ranks)


def _report_failure(paths: RunPaths, error: BertdError) -> int:
    """Report an error and return its exit status.

    Any rank reports to the runner, since the first to fail may be the only one that can; rank 0, the journal's writer,
    also reports there, for a run without a runner.
    """
    rank, board = int(os.environ.get("RANK", "0")), os.environ.get(FAILURES_VARIABLE)
    code, message = type(error).__name__, str(error)
    if report_failure(board, rank=rank, exit_code=error.exit_code, code=code, message=message):
        print_error(message)
    if rank == 0:
        try:
            step = read_progress(paths.journal).step
            alert = AlertRecord(t=time.time(), step=step, level="error", code=code, message=message)
            append_records(paths.journal, [alert])
        except BertdError as journal_error:
            print_error(f"and this could not be written to the journal: {journal_error}")
    return error.exit_code


def _report_unexpected(error: Exception) -> int:
    """Report an exception whose traceback is in the log, and return its exit status."""
    rank, code = int(os.environ.get("RANK", "0")), type(error).__name__
    first_line = str(error).strip().partition("\n")[0]
    message = f"rank {rank}: {code}: {first_line}; its traceback is in logs/job.log"
    report_failure(os.environ.get(FAILURES_VARIABLE), rank=rank, exit_code=1, code=code, message=message)
    return 1


if __name__ == "__main__":
    status = run_main(main, is_logged=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: after a failure the process groups would wait for ranks that have exited.
    os._exit(status)
