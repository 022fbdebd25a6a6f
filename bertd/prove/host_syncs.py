"""How often an update makes the host wait for the device: each time the queue of kernels runs dry."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_WAITING_OPERATIONS = (
    "aten._local_scalar_dense",
    "aten.item",
    "aten.is_nonzero",
    "aten.nonzero",
    "aten.masked_select",
    "aten.equal",
    "aten._unique2",
)
"""Which would wait on a GPU, since the host must know a value or a shape."""
_INDEXING_OPERATIONS = ("aten.index", "aten.index_put", "aten.index_put_", "aten._index_put_impl_")
"""Which would wait where an index is a mask: the host must know how many are set."""


def _has_mask(args: tuple[Any, ...]) -> bool:
    return any(isinstance(index, torch.Tensor) and index.dtype is torch.bool for index in args[1] or ())


class _WaitingOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts them by name while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> object:
        name = str(func)
        operation = ".".join(name.split(".")[:2])
        if operation in _WAITING_OPERATIONS or (operation in _INDEXING_OPERATIONS and _has_mask(args)):
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def count_host_syncs(update: Callable[[], object], device: torch.device) -> list[str]:
    """What made the host wait during an update, one entry each time.

    On a GPU by torch's own look-out; on a CPU, where nothing waits, by the operations that would.
    """
    if device.type != "cuda":
        with _WaitingOperations() as operations:
            update()
        return list(operations.seen.elements())
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            update()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return [
        f"{warning.filename}:{warning.lineno}" for warning in caught if "synchroniz" in str(warning.message).lower()
    ]
