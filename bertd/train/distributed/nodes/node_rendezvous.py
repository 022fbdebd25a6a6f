"""The rendezvous of machines that have met: their numbers are decided, so torch elastic's agents begin at once."""

from __future__ import annotations

from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # torch exports it so
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)

NODES_BACKEND = "bertd-nodes"
"""Name for LaunchConfig, after `register_node_rendezvous`."""


class NodeRendezvous(RendezvousHandler):
    """The rendezvous of one machine of several; torchrun's own would number them by their addresses."""

    def __init__(self, store: TCPStore, *, host: str, port: int, node: int, num_nodes: int, run_id: str) -> None:
        """`host` and `port` are those of the store, as the ranks of this machine reach it."""
        self._store = PrefixStore("elastic", store)
        self._address = RendezvousStoreInfo(host, port)
        self._node, self._num_nodes, self._run_id = node, num_nodes, run_id

    @property
    def use_agent_store(self) -> bool:
        """True: the ranks connect to the store that is there, and open none."""
        return True

    def get_backend(self) -> str:
        """Return the name in torch's registry."""
        return NODES_BACKEND

    def next_rendezvous(self) -> RendezvousInfo:
        """Return at once."""
        return RendezvousInfo(self._store, self._node, self._num_nodes, self._address)

    def is_closed(self) -> bool:
        """Return False: an attempt is started once."""
        return False

    def set_closed(self) -> None:
        """Do nothing: the store ends with the attempt."""

    def num_nodes_waiting(self) -> int:
        """Return 0: a machine that comes later is taken at the next attempt."""
        return 0

    def get_run_id(self) -> str:
        """Return the id of LaunchConfig."""
        return self._run_id

    def shutdown(self) -> bool:
        """Do nothing: who opened the store closes it."""
        return True


def register_node_rendezvous(rendezvous: NodeRendezvous) -> None:
    """Make torch know NODES_BACKEND."""
    rendezvous_handler_registry.register(NODES_BACKEND, lambda parameters: rendezvous)
