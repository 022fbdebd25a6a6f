"""Exit promptly when a peer rank dies.

Over gloo a rank notices the death because its connection closes. Over NCCL it does not: it waits in a kernel for
gradients that never arrive, Python's handler of SIGTERM cannot run, and torch elastic kills the rank after 30 s, which
are charged for every GPU. So a thread watches the pidfds of the other ranks.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from bertd.train.distributed.process_group import Ranks

_GRACE_S = 2.0
"""Time for this rank to notice by itself, with a better error message."""
_MAX_WRITE_S = 24.0
"""Time for a save in progress, between one grace period before and one after; torch elastic kills after 30 s."""
_PEER_DIED_STATUS = 1
"""Generic, because the exit status of the dead rank has the cause."""


class PeerWatch:
    """Watches the other ranks of a run."""

    def __init__(self) -> None:
        self.is_writing: Callable[[], bool] = lambda: False
        """Whether a save is in progress, which would be lost if this rank exited."""
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ignore the deaths of other ranks from here on, since they end normally."""
        self._stopped.set()

    def watch(self, pids: list[int], *, other_machines: str | None = None) -> None:
        """Exit this process when one of `pids` dies; return after `stop`.

        Args:
            pids: of ranks on this machine.
            other_machines: path of a pipe whose end closes when another machine is lost.
        """
        watched = [os.pidfd_open(pid) for pid in pids]
        if other_machines is not None:
            watched.append(os.open(other_machines, os.O_RDONLY | os.O_CLOEXEC))
        poll = select.poll()
        for fd in watched:
            # A pipe whose other end is closed is reported whatever is asked for.
            poll.register(fd, select.POLLIN)
        while not self._stopped.is_set():
            if poll.poll(200) and not self._stops_in_time():
                print("bertd: another rank died, so this one exits", file=sys.stderr, flush=True)
                os._exit(_PEER_DIED_STATUS)
        for fd in watched:
            os.close(fd)

    def _stops_in_time(self) -> bool:
        # Wait first: a save may begin because of the death, or be waiting for this rank to notice it.
        if self._stopped.wait(_GRACE_S):
            return True
        if not self.is_writing():
            return False
        deadline_s = time.monotonic() + _MAX_WRITE_S
        while self.is_writing() and time.monotonic() < deadline_s:
            if self._stopped.wait(0.1):
                return True
        return self._stopped.wait(_GRACE_S)


@contextmanager
def watch_peers(ranks: Ranks, *, knows_machines: bool, other_machines: str | None = None) -> Iterator[PeerWatch]:
    """Exit this process if another rank on this machine dies inside the context; every rank must call.

    Args:
        ranks: of all machines.
        knows_machines: False under torchrun, where ranks that seem to be of this machine may be of another one.
        other_machines: path of a pipe whose end closes when another machine is lost.
    """
    peer_watch = PeerWatch()
    if ranks.control is not None and knows_machines:
        pids = torch.zeros(ranks.world_size, dtype=torch.int64)
        pids[ranks.rank] = os.getpid()
        dist.all_reduce(pids, group=ranks.control)
        first = ranks.node * ranks.num_local
        others = [pid for pid in pids[first : first + ranks.num_local].tolist() if pid != os.getpid()]
        options = {"other_machines": other_machines}
        threading.Thread(
            target=peer_watch.watch, args=(others,), kwargs=options, name="peer-watch", daemon=True
        ).start()
    try:
        yield peer_watch
    finally:
        peer_watch.stop()
