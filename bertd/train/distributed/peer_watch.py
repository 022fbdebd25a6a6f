"""A rank whose companion died ends too, soon.

Over gloo a rank notices by itself: its connection closes. Over NCCL it does not: it waits in a kernel for gradients
that will not come, Python's handler of SIGTERM has no turn, and torch elastic kills it after 30 s, charged on every
GPU. So a thread watches the others' pidfds.
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
"""For this rank to notice by itself and say more."""
_MAX_WRITE_S = 24.0
"""For what is being written, between a grace before it and one behind; torch elastic kills after 30."""
_PEER_DIED_STATUS = 1
"""Exit status that explains nothing: the dead one's does."""


class PeerWatch:
    """The other ranks of a run."""

    def __init__(self) -> None:
        self.is_writing: Callable[[], bool] = lambda: False
        """Whether something would be lost if this rank ended now."""
        self._stopped = threading.Event()

    def stop(self) -> None:
        """From now on their deaths mean nothing."""
        self._stopped.set()

    def watch(self, pids: list[int]) -> None:
        """End this process when one of them dies; returns when they are left."""
        pidfds = [os.pidfd_open(pid) for pid in pids]
        poll = select.poll()
        for watch in pidfds:
            poll.register(watch, select.POLLIN)
        while not self._stopped.is_set():
            if poll.poll(200) and not self._stops_in_time():
                print("bertd: another rank died, and so this one ends", file=sys.stderr, flush=True)
                os._exit(_PEER_DIED_STATUS)
        for watch in pidfds:
            os.close(watch)

    def _stops_in_time(self) -> bool:
        # The grace first: the death may be what a save waits for, or begins with.
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
def watch_peers(ranks: Ranks, *, is_one_machine: bool) -> Iterator[PeerWatch]:
    """Inside, the death of another rank of this machine ends this process; every rank must call."""
    peer_watch = PeerWatch()
    if ranks.control is not None and is_one_machine:
        pids = torch.zeros(ranks.world_size, dtype=torch.int64)
        pids[ranks.rank] = os.getpid()
        dist.all_reduce(pids, group=ranks.control)
        others = [pid for pid in pids.tolist() if pid != os.getpid()]
        threading.Thread(target=peer_watch.watch, args=(others,), name="companions", daemon=True).start()
    try:
        yield peer_watch
    finally:
        peer_watch.stop()
