"""Batches made ahead by a thread: padded there, and pinned for a GPU, while the device computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bertd.glue.training.batches import PaddedBatch

_AHEAD = 4
"""Batches ready at most. A batch is a few hundred KB."""


@contextmanager
def read_ahead(batches: Iterator[PaddedBatch], *, device: torch.device) -> Iterator[Iterator[PaddedBatch]]:
    """Give the same batches on `device`, made ahead by a thread that ends with the context.

    `batches` must not draw from torch's global generator, which the caller uses meanwhile. What it raises is raised by
    the iterator.
    """
    ready: queue.Queue[PaddedBatch | BaseException | None] = queue.Queue(_AHEAD)
    closed = threading.Event()

    def put(item: PaddedBatch | BaseException | None) -> bool:
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def make() -> None:
        try:
            for batch in batches:
                # A copy from memory that is not pinned waits for the device.
                if not put(batch.pin_memory() if device.type == "cuda" else batch):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001  The thread's entry: the iterator raises it.
            put(error)

    def take() -> Iterator[PaddedBatch]:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item.to(device)

    thread = threading.Thread(target=make, name="batches", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        closed.set()
        thread.join()
