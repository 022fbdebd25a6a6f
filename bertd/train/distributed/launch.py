"""`python -m bertd.train.distributed.launch RUN_FOLDER --attempt N`: start the ranks of one attempt.

torch elastic watches them and ends all when one fails. It never restarts them (`max_restarts=0`): in its own restarts
ranks find the addresses of the dead attempt in the shared store. The runner starts a new attempt instead, and each
attempt has its own rendezvous, in memory (bertd.train.distributed.local_rendezvous).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from bertd.program import run_main
from bertd.run.machine.child_processes import die_with_parent
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe
from bertd.train.distributed.exit_code import choose_exit_code
from bertd.train.distributed.local_rendezvous import (
    RENDEZVOUS_BACKEND,
    InheritedOutput,
    rank_store_in_memory,
    register_local_rendezvous,
)

_PAUSE_TIMEOUT_S = 150
"""From SIGTERM to SIGKILL of the ranks: a step, and a checkpoint on a slow disk."""


def main() -> int:
    """Launch and wait; return the exit status of the rank whose failure explains the others'."""
    parser = argparse.ArgumentParser(prog="python -m bertd.train.distributed.launch", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int, default=1)
    die_with_parent()
    extend_shutdown_timeout()
    logging.getLogger("torch.distributed.elastic").setLevel(logging.ERROR)
    return run_main(lambda: _launch(parser.parse_args()), is_logged=True)


def _launch(args: argparse.Namespace) -> int:
    return launch(RunPaths(args.run.resolve()), attempt=args.attempt)


def extend_shutdown_timeout(agent: type[LocalElasticAgent] = LocalElasticAgent) -> None:
    """Have an agent that gets SIGTERM wait _PAUSE_TIMEOUT_S for its ranks; by default torch kills them after 30 s."""
    if "shutdown_timeout" in LaunchConfig.__dataclass_fields__:
        os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(_PAUSE_TIMEOUT_S)
        return
    # Before torch 2.12 there is no such setting. The peers of a failed rank are ended elsewhere, without this timeout.
    shut_down = agent._shutdown

    def shut_down_with_timeout(self: LocalElasticAgent, *args: Any, **options: Any) -> None:
        if self._pcontext is not None:
            self._pcontext.close = partial(self._pcontext.close, timeout=_PAUSE_TIMEOUT_S)  # type: ignore[method-assign]
        shut_down(self, *args, **options)

    agent._shutdown = shut_down_with_timeout  # type: ignore[method-assign]


def launch(paths: RunPaths, *, attempt: int) -> int:
    """Run the ranks of the recipe to their end.

    Raises:
        RecipeError: the run folder's recipe is missing or invalid.
        DeviceError: too few of several machines have come.
    """
    recipe = read_recipe(paths.recipe)
    if recipe.devices.nodes > 1:
        # It loads the data set and the model's code, which the launcher of one machine does not need.
        from bertd.train.distributed.nodes.first_node import launch_nodes

        return launch_nodes(paths, recipe, attempt=attempt)
    register_local_rendezvous()
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=recipe.devices.count,
        run_id=paths.root.name,
        rdzv_backend=RENDEZVOUS_BACKEND,
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=InheritedOutput(),
    )
    worker = ("-m", "bertd.train.distributed.worker", str(paths.root))
    with rank_store_in_memory() as store:
        command = (*worker, "--attempt", str(attempt), "--store", store, "--launcher", str(os.getpid()))
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            return choose_exit_code([failure.exitcode for _, failure in sorted(error.failures.items())])
        except SignalException as error:
            # The ranks were signalled and have exited; the journal says whether they paused.
            return 128 + error.sigval
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: Python's exit with torch loaded takes a second, which is charged although the ranks are gone.
    os._exit(status)
