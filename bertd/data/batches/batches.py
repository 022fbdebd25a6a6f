"""Micro-batches for one rank: read ahead by a thread, masked on the device.

The thread does the host's work (order, reading, pinning) and stays a few micro-batches ahead; `next_micro_batch` draws
the masks on the device, in its caller's thread. A rank's batches depend only on the seed, the position and the recipe's
batch section, so a run can be resumed, also on another number of ranks, with the same sequences. Where a step does not
divide evenly, padding rows without predictions fill it, so that every rank does the same work.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bertd.data.arrays import IndexArray
from bertd.data.batches.masking import MaskedBatch, Masker
from bertd.data.batches.mixed_sequences import Sequences
from bertd.data.batches.sampler import rank_positions

_MIN_READ_AHEAD = 4
"""Micro-batches read ahead; more if one step takes more."""
LOCATED_AT_ONCE = 4096
"""Positions located together, over several steps if need be: array operations on 32 take 50 times as long for each."""


@dataclass(frozen=True)
class _HostMicroBatch:
    ids_BS: Tensor
    keys_B: Tensor
    num_sequences: int
    """Rows after these are padding rows, without predictions."""


class TrainBatches:
    """The training micro-batches of one rank: an endless sequence in a fixed order."""

    def __init__(
        self,
        *,
        sequences: Sequences,
        masker: Masker,
        seed: int,
        global_batch: int,
        micro_batch: int,
        rank: int,
        world_size: int,
        device: torch.device,
        first_sequence: int,
    ) -> None:
        """Start reading.

        Args:
            global_batch: sequences in a step, over all ranks.
            micro_batch: sequences in one result of `next_micro_batch`.
            first_sequence: sequences consumed before, over all ranks.
        """
        self.wait_s = 0.0
        """Total seconds that `next_micro_batch` has waited for the thread."""
        self._sequences = sequences
        self._masker = masker
        self._seed = seed
        self._micro_batch = micro_batch
        self._rank = rank
        self._world_size = world_size
        self._device = device
        self._start_reading(global_batch, first_sequence=first_sequence)

    def resize(self, global_batch: int, *, first_sequence: int) -> None:
        """Continue at `first_sequence` with another step size; what was read ahead is read again."""
        self.close()
        self._start_reading(global_batch, first_sequence=first_sequence)

    def _start_reading(self, global_batch: int, *, first_sequence: int) -> None:
        self.global_batch = global_batch
        """Sequences in a step, over all ranks."""
        self._closed = threading.Event()
        self._ready: queue.Queue[_HostMicroBatch | BaseException] = queue.Queue(
            max(_MIN_READ_AHEAD, self.accumulation + 1)
        )
        self._thread = threading.Thread(target=self._read_ahead, args=(first_sequence,), name="batches", daemon=True)
        self._thread.start()

    def next_micro_batch(self) -> MaskedBatch:
        """The next micro-batch of this rank, on the device.

        Raises:
            ShardError: the data set changed, was cut short or cannot be read.
            RuntimeError: these batches are closed.
        """
        if self._closed.is_set():
            raise RuntimeError("these batches are closed")
        begin_s = time.perf_counter()
        micro = self._ready.get()
        self.wait_s += time.perf_counter() - begin_s
        if isinstance(micro, BaseException):
            self._closed.set()
            raise micro
        ids_BS = micro.ids_BS.to(self._device, non_blocking=True)
        masked = self._masker(ids_BS, micro.keys_B.to(self._device, non_blocking=True))
        return (
            masked
            if micro.num_sequences == self._micro_batch
            else masked.without_predictions_after(micro.num_sequences)
        )

    @property
    def accumulation(self) -> int:
        """Micro-batches of each rank in a step."""
        return -(-self.global_batch // (self._micro_batch * self._world_size))

    def close(self) -> None:
        """Stop the thread; may be called twice."""
        self._closed.set()
        self._thread.join()

    def _read_ahead(self, first_sequence: int) -> None:
        try:
            if self._device.type == "cuda":
                # The current device is per thread; without this call, pinned memory would belong to the first GPU.
                torch.cuda.set_device(self._device)
            for micro in self._micro_batches(first_sequence):
                if not self._put(micro):
                    return
        except BaseException as error:  # noqa: BLE001  The thread's entry: `next_micro_batch` raises it.
            self._put(error)

    def _put(self, item: _HostMicroBatch | BaseException) -> bool:
        """Wait for space in the queue; False once closed."""
        while not self._closed.is_set():
            try:
                self._ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _micro_batches(self, first_sequence: int) -> Iterator[_HostMicroBatch]:
        num_rows = self.accumulation * self._micro_batch
        steps_at_once = -(-LOCATED_AT_ONCE // num_rows)
        first = first_sequence
        while True:
            steps = [
                rank_positions(
                    first=first + step * self.global_batch,
                    global_batch=self.global_batch,
                    rank=self._rank,
                    world_size=self._world_size,
                )
                for step in range(steps_at_once)
            ]
            padded = [np.pad(step, (0, num_rows - len(step)), constant_values=first) for step in steps]
            located = self._sequences.locate(np.concatenate(padded), seed=self._seed)
            for start in range(0, steps_at_once * num_rows, self._micro_batch):
                of_micro = slice(start, start + self._micro_batch)
                rows = self._sequences.rows(located.indices[of_micro])
                num_sequences = min(max(0, len(steps[0]) - start % num_rows), self._micro_batch)
                yield _to_host_tensors(rows, located.keys[of_micro], num_sequences, pin=self._device.type == "cuda")
            first += steps_at_once * self.global_batch


def _to_host_tensors(rows: IndexArray, keys: IndexArray, num_sequences: int, *, pin: bool) -> _HostMicroBatch:
    ids_BS, keys_B = torch.from_numpy(rows), torch.from_numpy(keys)
    if pin:
        ids_BS, keys_B = ids_BS.pin_memory(), keys_B.pin_memory()
    return _HostMicroBatch(ids_BS, keys_B, num_sequences)


def validation_batches(
    *,
    sequences: Sequences,
    masker: Masker,
    micro_batch: int,
    rank: int,
    world_size: int,
    max_sequences: int,
    device: torch.device,
) -> list[MaskedBatch]:
    """One rank's share of the fixed validation set: fixed sequences spread evenly over the split, fixed masks.

    The set is the same for any number of ranks; shares differ by at most one sequence, and a rank's last batch may be
    short. All of it is on the device: 16,384 sequences of 128 tokens take 23 MB.
    """
    chosen = sequences.choose_fixed(max_sequences)
    total = len(chosen.indices)
    of_rank = slice(total * rank // world_size, total * (rank + 1) // world_size)
    rank_indices, rank_keys = chosen.indices[of_rank], chosen.keys[of_rank]
    batches = []
    for start in range(0, len(rank_indices), micro_batch):
        rows = sequences.rows(rank_indices[start : start + micro_batch])
        keys = rank_keys[start : start + micro_batch]
        batches.append(masker(torch.from_numpy(rows).to(device), torch.from_numpy(keys).to(device)))
    return batches
