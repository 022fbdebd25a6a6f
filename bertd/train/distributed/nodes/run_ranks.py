"""Start the ranks of one machine of several, and wait for their end; the same on the first and on the others."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch exports it so
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from bertd.run.ranks.meeting import NODE_WATCH_VARIABLE
from bertd.train.distributed.exit_code import choose_exit_code
from bertd.train.distributed.local_rendezvous import InheritedOutput
from bertd.train.distributed.nodes.node_rendezvous import NODES_BACKEND, NodeRendezvous, register_node_rendezvous
from bertd.train.distributed.nodes.node_watch import NodeWatch
from bertd.train.distributed.nodes.reachability import find_interface

_INTERFACE_VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass(frozen=True)
class NodeRanks:
    """The ranks of one machine."""

    run_folder: Path
    """Where they read the recipe; only on the first machine the run's."""
    run_id: str
    attempt: int
    count: int
    """Of this machine."""
    node: int
    num_nodes: int


def run_node_ranks(ranks: NodeRanks, store: TCPStore, *, host: str, port: int, address: str, watch: NodeWatch) -> int:
    """Run them to their end and return the exit status of the one whose failure explains the others'.

    Args:
        ranks: to start.
        store: that all machines share.
        host: of the store, as this machine reaches it.
        port: of the store.
        address: of this machine, as the others reach it.
        watch: over the others.
    """
    os.environ[NODE_WATCH_VARIABLE] = watch.path
    interface = find_interface(address)
    for variable in _INTERFACE_VARIABLES:
        if interface is not None:
            os.environ.setdefault(variable, interface)
    rendezvous = NodeRendezvous(
        store, host=host, port=port, node=ranks.node, num_nodes=ranks.num_nodes, run_id=ranks.run_id
    )
    register_node_rendezvous(rendezvous)
    config = LaunchConfig(
        min_nodes=ranks.num_nodes,
        max_nodes=ranks.num_nodes,
        nproc_per_node=ranks.count,
        run_id=ranks.run_id,
        rdzv_backend=NODES_BACKEND,
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=InheritedOutput(),
    )
    worker = ("-m", "bertd.train.distributed.worker", str(ranks.run_folder))
    try:
        elastic_launch(config, sys.executable)(*worker, "--attempt", str(ranks.attempt), "--launcher", str(os.getpid()))
    except ChildFailedError as error:
        return choose_exit_code([failure.exitcode for _, failure in sorted(error.failures.items())])
    except SignalException as error:
        return 128 + error.sigval
    return 0
