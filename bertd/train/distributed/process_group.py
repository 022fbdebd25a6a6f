"""The process groups of a run: joining, leaving and collectives.

Plans are broadcast over gloo even where gradients use NCCL, so that a decision never waits for the GPU. All sockets
listen on the loopback interface only. The ranks of one machine find each other through a file, because torch's TCP
store listens on every interface without a password.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from bertd.errors import DeviceError
from bertd.run.recipe.schema import DevicesSection
from bertd.train.backends.cuda_arch import require_supported_arch

_TIMEOUT = timedelta(minutes=30)
"""Rank 0 may verify and load a large checkpoint, or save one to a slow disk, while the others wait."""


@dataclass(frozen=True)
class Ranks:
    """The rank of this process, and its device and process group."""

    rank: int
    world_size: int
    device: torch.device
    control: dist.ProcessGroup | None
    """gloo; None for a single rank."""
    num_nodes: int = 1
    """Machines."""
    leaders: dist.ProcessGroup | None = None
    """gloo, of the first rank of each machine; None on other ranks, and if there is one machine."""

    @property
    def num_local(self) -> int:
        """Ranks of this machine."""
        return self.world_size // self.num_nodes

    @property
    def node(self) -> int:
        """Number of this machine; 0 has the run folder."""
        return self.rank // self.num_local

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which reads the clock and the mailbox, and writes."""
        return self.rank == 0

    def broadcast(self, values: list[float], *, source: int = 0) -> list[float]:
        """Return the values of the rank `source` on every rank."""
        if self.control is None:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(tensor, src=source, group=self.control)
        shared: list[float] = tensor.tolist()
        return shared

    def broadcast_text(self, text: str, *, source: int = 0) -> str:
        """Return the text of the rank `source` on every rank."""
        content = text.encode()
        (num_bytes,) = self.broadcast([float(len(content))], source=source)
        if not num_bytes:
            return ""
        padded = content if self.rank == source else bytes(int(num_bytes))
        shared = self.broadcast([float(byte) for byte in padded], source=source)
        return bytes(int(byte) for byte in shared).decode()

    def wait_for_all(self) -> None:
        """Return when every rank has called."""
        if self.control is not None:
            dist.barrier(group=self.control)

    def max_over_ranks(self, value: int) -> int:
        """Return the largest value of all ranks on every rank; over gloo, so that no rank waits for its GPU."""
        if self.control is None:
            return value
        tensor = torch.tensor([value], dtype=torch.int64)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=self.control)
        return int(tensor)

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Sum over all ranks, in place."""
        if self.control is not None:
            dist.all_reduce(tensor)
        return tensor


def device_for_rank(section: DevicesSection, *, local_rank: int) -> torch.device:
    """Return the device of one rank.

    Raises:
        DeviceError: the recipe asks for more GPUs than there are; there is no fallback to the CPU.
    """
    if section.kind == "cpu":
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise DeviceError(
            f"[devices] count = {section.count}: this machine shows {torch.cuda.device_count()} GPUs; continue on "
            "fewer with `bertd resume ID --devices N`, or submit a run for the CPU"
        )
    return torch.device("cuda", local_rank)


def join_ranks(section: DevicesSection, *, store: Path | None) -> Ranks:
    """Meet the other ranks of this run.

    Args:
        section: of the recipe.
        store: file for the rendezvous, fresh for this attempt; None for torchrun's rendezvous.

    Raises:
        DeviceError: a device is missing or this torch does not support it, or the number of ranks is not the
            recipe's.
    """
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    num_nodes, rest = divmod(world_size, section.count)
    if rest or not section.fewest_nodes <= num_nodes <= section.nodes:
        raise DeviceError(
            f"[devices] count = {section.count}, nodes = {section.nodes}, and {world_size} ranks were started: start "
            "as many as the recipe says"
        )
    device = device_for_rank(section, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
        require_supported_arch(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if world_size == 1:
        return Ranks(rank=0, world_size=1, device=device, control=None)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if store is None:
        dist.init_process_group(backend, timeout=_TIMEOUT)
    else:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
        file_store = dist.FileStore(str(store), world_size)  # type: ignore[attr-defined]  # torch exports it so
        dist.init_process_group(backend, store=file_store, rank=rank, world_size=world_size, timeout=_TIMEOUT)
    control = dist.new_group(backend="gloo", timeout=_TIMEOUT)
    if num_nodes == 1:
        return Ranks(rank=rank, world_size=world_size, device=device, control=control)
    first_ranks = [*range(0, world_size, section.count)]
    group = dist.new_group(first_ranks, backend="gloo", timeout=_TIMEOUT)
    leaders = group if rank in first_ranks else None
    return Ranks(rank=rank, world_size=world_size, device=device, control=control, num_nodes=num_nodes, leaders=leaders)


def leave_ranks(ranks: Ranks) -> None:
    """Wait for the other ranks, and destroy the process groups."""
    if ranks.control is not None:
        dist.barrier(group=ranks.control)
        dist.destroy_process_group()
