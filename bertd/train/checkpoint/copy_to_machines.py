"""Broadcast a checkpoint from the run folder to the further machines, which keep it in a temporary folder.

One rank of each machine takes part, over gloo: the file passes each wire once, whatever the number of GPUs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from bertd.errors import StorageError
from bertd.train.checkpoint.format import MANIFEST, MODEL, OPTIMIZER, STATE, verify_checkpoint
from bertd.train.distributed.process_group import Ranks

_PIECE_BYTES = 64 << 20
_FILES = (STATE, MANIFEST, MODEL, OPTIMIZER)


@contextmanager
def on_every_machine(folder: Path, *, ranks: Ranks) -> Iterator[None]:
    """Have the checkpoint's folder on every machine while the context is open; every rank must call.

    Args:
        folder: in the run folder, or in what stands for it on this machine.
        ranks: of all machines.

    Raises:
        CheckpointError: the copy is not what was sent.
        StorageError: the disk of this machine refused it.
    """
    if ranks.num_nodes == 1:
        yield
        return
    if ranks.leaders is not None:
        if ranks.node:
            folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            _send(folder / name, ranks)
        if ranks.node:
            verify_checkpoint(folder)
    ranks.wait_for_all()
    yield
    # Not after an error, which the other ranks do not have: they would wait for this one.
    ranks.wait_for_all()
    if ranks.node and ranks.leaders is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _send(path: Path, ranks: Ranks) -> None:
    """Copy a file of rank 0 to the same path, or to what stands for it, of each machine's leader.

    Raises:
        StorageError: the disk refused the copy.
    """
    is_source = ranks.is_first
    size = torch.tensor([path.stat().st_size if is_source else 0])
    dist.broadcast(size, src=0, group=ranks.leaders)
    try:
        with path.open("rb" if is_source else "wb") as file:
            for start in range(0, int(size), _PIECE_BYTES):
                length = min(_PIECE_BYTES, int(size) - start)
                piece = np.empty(length, dtype=np.uint8)
                if is_source:
                    piece = np.frombuffer(bytearray(file.read(length)), dtype=np.uint8)
                tensor = torch.from_numpy(piece)
                dist.broadcast(tensor, src=0, group=ranks.leaders)
                if not is_source:
                    file.write(piece.tobytes())
    except OSError as error:
        raise StorageError(f"{path}: cannot copy the checkpoint: {error.strerror}; give another --scratch") from error
