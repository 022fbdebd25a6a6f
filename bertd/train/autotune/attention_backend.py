"""Which of PyTorch's attention kernels a run uses: timed on its shapes, not looked up in a table.

PyTorch prefers FlashAttention wherever it can run; on Hopper cuDNN's is said to be up to twice as fast, on others
slower. Rank 0 times each that runs, forward and backward, and every rank follows: they would round differently. One
that returns what is not finite is left out, however fast: cuDNN's has had such faults on Hopper at low scores (PyTorch
issue 196678, cudnn-frontend issue 1072). Untried on a GPU so far; on CPU PyTorch has one kernel for each case and
nothing is chosen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bertd.model.encoder import EncoderConfig
from bertd.train.backends.precision import Precision
from bertd.train.backends.synchronize import synchronize
from bertd.train.distributed.process_group import Ranks

BACKENDS = {
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "FlashAttention": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
"""By name; where two are as fast, the first is taken."""
_FALLBACK = "math"
_WARM_UPS, _ROUNDS, _CALLS = 2, 3, 8
_MIN_SEQUENCES = 512
"""Of a timed call: with fewer, what a large GPU shows is how fast calls are queued, not how fast they run."""
_LOW_SCORE = -120.0
"""Of every key to every query, far below what a softmax without care can take."""
_UNSUPPORTED, _NOT_FINITE = -1.0, -2.0


@dataclass(frozen=True)
class AttentionChoice:
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
class AttentionWorkload:
    """A run's attention: what is timed is a call as all layers but the last make it."""

    sequences: int
    heads: int
    length: int
    predictions: int
    """Positions that ask in the last layer."""
    head_width: int
    dropout: float
    is_masked: bool
    """Whether padding is masked, which not every backend can do."""

    @classmethod
    def from_config(
        cls, config: EncoderConfig, *, micro: int, length: int, predictions: int, is_masked: bool
    ) -> AttentionWorkload:
        """In a model's layers."""
        return cls(
            sequences=max(micro, _MIN_SEQUENCES),
            heads=config.heads,
            length=length,
            predictions=predictions,
            head_width=config.width // config.heads,
            dropout=config.attention_dropout,
            is_masked=is_masked,
        )


def choose_attention(workload: AttentionWorkload, *, precision: Precision, ranks: Ranks) -> AttentionChoice:
    """Time the backends; every rank must call."""
    if ranks.device.type != "cuda":
        return AttentionChoice(reason="on CPU PyTorch has one for each case")
    names = list(BACKENDS)
    timed = _time_backends(workload, device=ranks.device, dtype=precision.dtype) if ranks.is_first else {}
    shared = dict(zip(names, ranks.broadcast([timed.get(name, _UNSUPPORTED) for name in names]), strict=True))
    not_finite = [name for name, seconds in shared.items() if seconds == _NOT_FINITE]
    return choose_fastest_backends(
        {name: seconds for name, seconds in shared.items() if seconds > 0}, not_finite=not_finite
    )


def choose_fastest_backends(seconds: dict[str, float], *, not_finite: Sequence[str] = ()) -> AttentionChoice:
    """The order of preference that measured times give. Pure."""
    names = tuple(sorted(seconds, key=seconds.__getitem__))
    timings = ", ".join(f"{name} {seconds[name] * 1e3:.2f} ms" for name in names)
    excluded_text = f"not finite at low scores, so left out: {', '.join(not_finite)}"
    if not names:
        if not_finite:
            return AttentionChoice((_FALLBACK,), excluded_text)
        return AttentionChoice(reason="none could be timed, so PyTorch chooses")
    # The plain one can do every shape, and some calls of a run are smaller than what was timed.
    fallback = () if _FALLBACK in names else (_FALLBACK,)
    reason = f"timed here, forward and backward: {timings}"
    return AttentionChoice((*names, *fallback), f"{reason}; {excluded_text}" if not_finite else reason)


def _time_backends(workload: AttentionWorkload, *, device: torch.device, dtype: torch.dtype | None) -> dict[str, float]:
    timed = {}
    for name, backend in BACKENDS.items():
        seconds = time_backend(backend, workload, device=device, dtype=dtype)
        if seconds is not None:
            timed[name] = (
                seconds if is_finite_at_low_scores(backend, workload, device=device, dtype=dtype) else _NOT_FINITE
            )
    torch.cuda.empty_cache()
    return timed


def time_backend(
    backend: SDPBackend, workload: AttentionWorkload, *, device: torch.device, dtype: torch.dtype | None
) -> float | None:
    """Seconds of one call forward and backward; None where the backend cannot do it."""
    try:
        # As the model has them: q, k and v lie in one product.
        shape = (workload.sequences, workload.length, 3, workload.heads, workload.head_width)
        product = torch.randn(shape, device=device, dtype=dtype or torch.float32)
        q, k, v = (part.transpose(1, 2).requires_grad_() for part in product.unbind(2))
        with sdpa_kernel(backend):
            for _ in range(_WARM_UPS):
                _attend(q, k, v, workload)
            return min(_time_calls(lambda: _attend(q, k, v, workload), device) for _ in range(_ROUNDS)) / _CALLS
    except RuntimeError:
        # "No available kernel", or out of memory: this backend is not for these shapes.
        return None


def is_finite_at_low_scores(
    backend: SDPBackend, workload: AttentionWorkload, *, device: torch.device, dtype: torch.dtype | None
) -> bool:
    """Whether results and gradients are finite where all scores are low, of what it can do."""
    # Of q with -q, where the scale is one over the root of the head's width.
    size = (-_LOW_SCORE / workload.head_width**0.5) ** 0.5
    for num_queries in (workload.length, workload.predictions):
        shape = (2, workload.heads, workload.length, workload.head_width)
        k = torch.full(shape, -size, device=device, dtype=dtype or torch.float32, requires_grad=True)
        q = -k.detach()[:, :, :num_queries].requires_grad_()
        v = torch.randn_like(k, requires_grad=True)
        try:
            with sdpa_kernel(backend):
                outputs = _attend(q, k, v, workload)
        except RuntimeError:
            continue
        if not all(bool(each.isfinite().all()) for each in outputs):
            return False
    return True


def _attend(q: Tensor, k: Tensor, v: Tensor, workload: AttentionWorkload) -> tuple[Tensor, ...]:
    """What comes out, and the gradients of all three."""
    attention_mask = (
        torch.ones(len(k), 1, 1, k.size(2), dtype=torch.bool, device=k.device) if workload.is_masked else None
    )
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask, dropout_p=workload.dropout)
    return mixed, *torch.autograd.grad(mixed, (q, k, v), torch.ones_like(mixed))


def _time_calls(call: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    began_s = time.perf_counter()
    for _ in range(_CALLS):
        call()
    synchronize(device)
    return time.perf_counter() - began_s
