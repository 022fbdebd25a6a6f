"""Count the operations of PyTorch's dispatcher, for tests of what a step must not do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_WAITING = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "equal", "unique", "_unique2")
"""Operations that give the host a value, or whose result's shape is one."""


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts operations by name, such as aten.mm, inside its context; on CPU also those of a backward pass."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> object:
        self.seen[str(func).removesuffix(".default")] += 1
        return func(*args, **(kwargs or {}))


class SynchronisingCalls(Operations):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts the operations for which the host waits for a device; the device "meta", which holds no values, is one."""

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        name = str(func).split(".")[1]
        tensors = [each for each in args if isinstance(each, Tensor)]
        if name in ("_to_copy", "copy_") and isinstance(result, Tensor):
            is_waiting = len({each.device for each in (*tensors, result)}) > 1
        else:
            is_waiting = name in _WAITING
        if is_waiting:
            self.seen[name] += 1
        return result
