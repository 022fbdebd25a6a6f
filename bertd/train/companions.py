"""A rank whose companion died ends too, at once.

Over gloo a rank notices by itself: its connection closes. Over NCCL it does not: it waits in a kernel for gradients
that will not come, Python's handler of SIGTERM has no turn, and torch elastic kills it after 30 s, charged on every
GPU. So a thread watches the others' pidfds.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from bertd.train.ranks import Ranks

_GRACE_S = 2.0
"""For this rank to notice by itself and say more."""
_ENDED_FOR_ANOTHER = 1
"""Exit status that explains nothing: the dead one's does."""


@contextmanager
def companions_watched(ranks: Ranks) -> Iterator[None]:
    """Inside, the death of another rank of this machine ends this process; every rank must call."""
    if ranks.control is None:
        yield
        return
    pids = torch.zeros(ranks.world_size, dtype=torch.int64)
    pids[ranks.rank] = os.getpid()
    dist.all_reduce(pids, group=ranks.control)
    over = threading.Event()
    watches = [os.pidfd_open(pid) for pid in pids.tolist() if pid != os.getpid()]
    threading.Thread(target=_watch, args=(watches, over), name="companions", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(watches: list[int], over: threading.Event) -> None:
    poll = select.poll()
    for watch in watches:
        poll.register(watch, select.POLLIN)
    while not over.is_set():
        if poll.poll(200) and not over.wait(_GRACE_S):
            print("bertd: another rank died, and so this one ends", file=sys.stderr, flush=True)
            os._exit(_ENDED_FOR_ANOTHER)
