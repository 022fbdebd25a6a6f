"""One rank of a run without a runner: `python -m bertd.prove.single_rank RUN --attempt N [--pause-at STEP]`.

The run is paused at a step by its number, as SIGTERM pauses it, which no signal from outside could time.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from threading import Event

from bertd.program import run_main
from bertd.run.ledger import Ledger
from bertd.run.machine.child_processes import die_with_parent
from bertd.run.paths import RunPaths


def main() -> int:
    """Train to the end, or to the pause."""
    parser = argparse.ArgumentParser(prog="python -m bertd.prove.single_rank", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int, default=1)
    parser.add_argument("--pause-at", type=int)
    die_with_parent()
    return run_main(lambda: _train_as_asked(parser.parse_args()), is_logged=True)


def _train_as_asked(args: argparse.Namespace) -> None:
    _train(args.run, attempt=args.attempt, pause_at=args.pause_at)


def _train(run: Path, *, attempt: int, pause_at: int | None) -> None:
    # Torch only after the kernel was asked to end this process with its parent: the import takes seconds.
    from bertd.train.backends.deterministic import use_deterministic_algorithms
    from bertd.train.build_trainer import build_trainer
    from bertd.train.distributed.process_group import join_ranks
    from bertd.train.run_inputs import load_run_inputs

    paths, stop_signal = RunPaths(run), Event()
    run_inputs = load_run_inputs(paths)
    use_deterministic_algorithms(run_inputs.recipe)
    ranks = join_ranks(run_inputs.recipe.devices, store=None)
    ledger = Ledger(paths.ledger)
    ledger.begin()
    trainer = build_trainer(run_inputs, ranks=ranks, attempt=attempt, stop_signal=stop_signal)
    try:
        if pause_at is not None:
            while trainer.state.step < pause_at:
                trainer.execute_next_plan()
            stop_signal.set()
        trainer.run()
    finally:
        trainer.close()
        ledger.end()


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: Python's own end under torch takes a second.
    os._exit(status)
