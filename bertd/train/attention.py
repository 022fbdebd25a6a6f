"""Which of PyTorch's attention kernels a run uses: timed on its own shapes, not looked up in a table.

PyTorch prefers FlashAttention wherever it can run; on Hopper cuDNN's is said to be up to twice as fast, on others
slower. Rank 0 times each that runs, forward and backward, and every rank follows: they would round differently.
Untried on a GPU so far; on CPU PyTorch has one kernel for each case and nothing is chosen.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bertd.model.encoder import EncoderConfig
from bertd.train.precision import Precision
from bertd.train.ranks import Ranks

BACKENDS = {
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "FlashAttention": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
"""By name; where two are as fast, the first is taken."""
_LAST_RESORT = "math"
_WARM_UPS, _ROUNDS, _CALLS = 2, 3, 8


@dataclass(frozen=True)
class Attention:
    """The choice; the same on every rank."""

    names: tuple[str, ...] = ()
    """Of BACKENDS, fastest first: the next is for calls that the first cannot do. None leaves it to PyTorch."""
    reason: str = ""
    """For people."""

    @property
    def backends(self) -> tuple[SDPBackend, ...]:
        """For Forward."""
        return tuple(BACKENDS[name] for name in self.names)


@dataclass(frozen=True)
class AttentionWork:
    """One call of a run's attention."""

    sequences: int
    heads: int
    length: int
    head_width: int
    dropout: float
    is_masked: bool
    """Whether padding is masked, which not every backend can do."""

    @classmethod
    def of(cls, config: EncoderConfig, *, micro: int, length: int, is_masked: bool) -> AttentionWork:
        """In a model's layer."""
        return cls(micro, config.heads, length, config.width // config.heads, config.attention_dropout, is_masked)


def choose_attention(work: AttentionWork, *, precision: Precision, ranks: Ranks) -> Attention:
    """Time the backends; every rank must call."""
    if ranks.device.type != "cuda":
        return Attention(reason="on CPU PyTorch has one for each case")
    names = list(BACKENDS)
    timed = _time_backends(work, device=ranks.device, dtype=precision.dtype) if ranks.is_first else {}
    shared = ranks.share([timed.get(name, -1.0) for name in names])
    return preferred({name: seconds for name, seconds in zip(names, shared, strict=True) if seconds > 0})


def preferred(seconds: dict[str, float]) -> Attention:
    """The order of preference that measured times give. Pure."""
    names = tuple(sorted(seconds, key=seconds.__getitem__))
    told = ", ".join(f"{name} {seconds[name] * 1e3:.2f} ms" for name in names)
    if not names:
        return Attention(reason="none could be timed, so PyTorch chooses")
    # The plain one can do every shape, and some calls of a run are smaller than what was timed.
    last = () if _LAST_RESORT in names else (_LAST_RESORT,)
    return Attention((*names, *last), f"timed here, forward and backward: {told}")


def _time_backends(work: AttentionWork, *, device: torch.device, dtype: torch.dtype | None) -> dict[str, float]:
    timed = {}
    for name, backend in BACKENDS.items():
        seconds = time_backend(backend, work, device=device, dtype=dtype)
        if seconds is not None:
            timed[name] = seconds
    torch.cuda.empty_cache()
    return timed


def time_backend(
    backend: SDPBackend, work: AttentionWork, *, device: torch.device, dtype: torch.dtype | None
) -> float | None:
    """Seconds of one call forward and backward; None where the backend cannot do it."""
    shape = (work.sequences, work.heads, work.length, work.head_width)
    q, k, v = (torch.randn(shape, device=device, dtype=dtype or torch.float32, requires_grad=True) for _ in range(3))
    keep = torch.ones(work.sequences, 1, 1, work.length, dtype=torch.bool, device=device) if work.is_masked else None

    def call() -> None:
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=keep, dropout_p=work.dropout)
        torch.autograd.grad(mixed, (q, k, v), torch.ones_like(mixed))

    try:
        with sdpa_kernel(backend):
            for _ in range(_WARM_UPS):
                call()
            return min(_seconds(call, q) for _ in range(_ROUNDS)) / _CALLS
    except RuntimeError:
        # "No available kernel", or out of memory: this backend is not for these shapes.
        return None


def _seconds(call: object, tensor: Tensor) -> float:
    assert callable(call)
    _wait(tensor)
    began_s = time.perf_counter()
    for _ in range(_CALLS):
        call()
    _wait(tensor)
    return time.perf_counter() - began_s


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
