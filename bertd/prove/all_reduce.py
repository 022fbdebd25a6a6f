"""One rank that times the exchange: `python -m bertd.prove.all_reduce STORE RANK COUNT cuda|cpu MEBIBYTES...`.

Rank 0 prints a line of JSON: MiB to GB/s over the bus, which is 2 (N - 1) / N of the bytes over the time, as NCCL's own
tests count it.
"""

from __future__ import annotations

import json
import os
import sys
import time

import torch
import torch.distributed as dist

from bertd.run.machine.child_processes import die_with_parent
from bertd.train.backends.synchronize import synchronize

_WARM_UPS, _CALLS = 3, 10


def main(argv: list[str]) -> int:
    """Time each size."""
    die_with_parent()
    store, rank, count, kind = argv[0], int(argv[1]), int(argv[2]), argv[3]
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    device = torch.device("cuda", rank) if kind == "cuda" else torch.device("cpu")
    if kind == "cuda":
        torch.cuda.set_device(device)
    file_store = dist.FileStore(store, count)  # type: ignore[attr-defined]  # torch exports it so
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", store=file_store, rank=rank, world_size=count)
    speeds = {}
    for size in map(int, argv[4:]):
        tensor = torch.ones(size << 18, device=device)
        speeds[str(size)] = _measure(tensor, device) * 2 * (count - 1) / count
    if rank == 0:
        print(json.dumps(speeds), flush=True)
    dist.barrier()
    dist.destroy_process_group()
    return 0


def _measure(tensor: torch.Tensor, device: torch.device) -> float:
    """GB/s of the tensor's own bytes."""
    for _ in range(_WARM_UPS):
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    synchronize(device)
    began_s = time.perf_counter()
    for _ in range(_CALLS):
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    synchronize(device)
    return tensor.nbytes * _CALLS / (time.perf_counter() - began_s) / 1e9


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
