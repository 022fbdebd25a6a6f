"""Where the launcher and the ranks of one machine meet: in memory, so that no full disk can stop or garble it.

torch elastic's agent gets a store inside its own process, since it is the only agent. The ranks get a file store, since
torch's TCP store listens on every interface without a password; its file is a memfd that they open by its name in
/proc, as bertd.run.ranks.heartbeat does. A file store on a disk that becomes full keeps half a record, which its
readers then read for ever (tests/train/distributed/test_local_rendezvous.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed import HashStore  # type: ignore[attr-defined]  # torch exports it so
from torch.distributed.elastic.multiprocessing.api import LogsDest, LogsSpecs
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)

RENDEZVOUS_BACKEND = "bertd-local"
"""Name for LaunchConfig, after `register_local_rendezvous`."""


class LocalRendezvous(RendezvousHandler):
    """The rendezvous of an agent that is alone."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._store = HashStore()

    def get_backend(self) -> str:
        """Return the name in torch's registry."""
        return RENDEZVOUS_BACKEND

    def next_rendezvous(self) -> RendezvousInfo:
        """Return at once, because no other agent is expected."""
        # The ranks get their store by its path, so nothing listens at this address.
        address = RendezvousStoreInfo("localhost", 0)
        return RendezvousInfo(self._store, 0, 1, address)

    def is_closed(self) -> bool:
        """Return False: no other agent could close it."""
        return False

    def set_closed(self) -> None:
        """Do nothing: there is no other agent to inform."""

    def num_nodes_waiting(self) -> int:
        """Return 0; the agent asks after each look at its ranks."""
        return 0

    def get_run_id(self) -> str:
        """Return the id of LaunchConfig."""
        return self._run_id

    def shutdown(self) -> bool:
        """Do nothing: the store is freed with the process."""
        return True


class InheritedOutput(LogsSpecs):
    """The ranks write to the launcher's own output; no folder is made for their logs."""

    @property
    def root_log_dir(self) -> str:
        """A path for torch's messages; nothing is written there."""
        return os.devnull

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """Return destinations without files, and set each rank's environment to have none."""
        for env in envs.values():
            env["TORCHELASTIC_ERROR_FILE"] = ""
        inherited, no_file = dict.fromkeys(envs, ""), dict.fromkeys(envs, os.devnull)
        return LogsDest(stdouts=inherited, stderrs=inherited, error_files=no_file)


def register_local_rendezvous() -> None:
    """Make torch know RENDEZVOUS_BACKEND."""
    rendezvous_handler_registry.register(RENDEZVOUS_BACKEND, _create_handler)


def _create_handler(parameters: RendezvousParameters) -> RendezvousHandler:
    return LocalRendezvous(parameters.run_id)


@contextmanager
def rank_store_in_memory() -> Iterator[str]:
    """Path of an empty file in memory, for processes of the same user while the context is open."""
    fd = os.memfd_create("bertd-ranks", os.MFD_CLOEXEC)
    try:
        yield f"/proc/{os.getpid()}/fd/{fd}"
    finally:
        os.close(fd)
