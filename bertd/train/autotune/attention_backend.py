"""Which attention kernel a run uses, PyTorch's or ours: of those right on its calls, the fastest on its shapes.

PyTorch's own order differs by version and card: since 2.10 it takes cuDNN's first on Hopper and Blackwell, elsewhere
FlashAttention. Which is fastest also depends on shape, mask and dropout, so rank 0 times each kernel that passes
attention_check.py, forward and backward, for all layers of an update, and every rank uses the same: they round
differently. What is timed is a layer's: from the product that has q, k and v to its gradient, with the copies between.
On CPU PyTorch has one kernel for each case and nothing is chosen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from bertd.model.encoder import PackedAttention
from bertd.train.autotune.attention_check import (
    AttentionFunction,
    attend_and_differentiate,
    attend_by,
    find_fault,
    first_line,
)
from bertd.train.autotune.attention_workload import AttentionCall, AttentionInputs, AttentionWorkload
from bertd.train.backends.precision import Precision
from bertd.train.backends.synchronize import synchronize
from bertd.train.backends.triton_attention import attend_packed, why_unavailable, why_unfit
from bertd.train.distributed.process_group import Ranks

BACKENDS = {
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "FlashAttention": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
"""PyTorch's, by name."""
OWN_KERNEL = "own kernel"
"""bertd.train.backends.triton_attention's name."""
KERNEL_NAMES = (*BACKENDS, OWN_KERNEL)
"""Of all; where two are as fast, the first is taken."""
_FALLBACK = "math"
_NOT_DETERMINISTIC = {"cuDNN": "its backward pass is not deterministic"}
"""The others' are, under torch.use_deterministic_algorithms. Source: PyTorch pull request 182551."""
_WARM_UPS, _ROUNDS, _CALLS = 2, 3, 8
MIN_TIMED_SEQUENCES = 512
"""Of a timed call: with fewer, what a large GPU shows is how fast calls are queued, not how fast they run."""
_LEFT_OUT = -1.0


@dataclass(frozen=True)
class AttentionChoice:
    """The choice; the same on every rank, but for the reason, which rank 0 has."""

    names: tuple[str, ...] = ()
    """Of KERNEL_NAMES, fastest first: the next is for calls that the first refuses. None leaves it to PyTorch. Our own
    stands first or is not there: it is called in PyTorch's place, which then chooses among the rest."""
    reason: str = ""

    @property
    def backends(self) -> tuple[SDPBackend, ...]:
        """PyTorch's, for ForwardPass."""
        return tuple(BACKENDS[name] for name in self.names if name in BACKENDS)

    @property
    def packed(self) -> PackedAttention | None:
        """Our own kernel, for ForwardPass; None for PyTorch's."""
        return attend_packed if OWN_KERNEL in self.names else None


def choose_attention(
    workload: AttentionWorkload, *, precision: Precision, ranks: Ranks, is_deterministic: bool = False
) -> AttentionChoice:
    """Check and time the backends; every rank must call.

    Args:
        is_deterministic: leave out those that are not, and take the others in their order: times differ
            between two runs.
    """
    if ranks.device.type != "cuda":
        return AttentionChoice(reason="on CPU PyTorch has one for each case")
    seconds: dict[str, float] = {}
    faults: dict[str, str] = {}
    if ranks.is_first:
        kernels: dict[str, AttentionFunction] = {name: attend_by(backend) for name, backend in BACKENDS.items()}
        refusal = why_not_own_kernel(workload, precision=precision, device=ranks.device)
        if is_deterministic:
            refusal = refusal or "it is used only where it was timed as the fastest"
        if refusal is None:
            kernels[OWN_KERNEL] = attend_with_own_kernel
        else:
            faults[OWN_KERNEL] = refusal
        for name, attend in kernels.items():
            fault = _NOT_DETERMINISTIC.get(name) if is_deterministic else None
            fault = fault or find_fault(attend, workload, device=ranks.device, dtype=precision.dtype)
            if fault is not None:
                faults[name] = fault
            elif is_deterministic:
                seconds[name] = 0.0
            else:
                try:
                    seconds[name] = time_backend(attend, workload, device=ranks.device, dtype=precision.dtype)
                except RuntimeError as error:
                    # Mostly memory: a timed call has more sequences than a checked one, or than a step.
                    faults[name] = first_line(error)
        torch.cuda.empty_cache()
    shared = ranks.broadcast([seconds.get(name, _LEFT_OUT) for name in KERNEL_NAMES])
    usable = {name: each_s for name, each_s in zip(KERNEL_NAMES, shared, strict=True) if each_s != _LEFT_OUT}
    if is_deterministic:
        return choose_deterministic_backends(list(usable), faults=faults)
    return choose_fastest_backends(usable, faults=faults)


def why_not_own_kernel(workload: AttentionWorkload, *, precision: Precision, device: torch.device) -> str | None:
    """Why our own kernel is no candidate for a run, as text; None where it is one."""
    if workload.is_rotary:
        return "it does not turn rotary positions"
    if precision.dtype is None:
        return "it is for 16 bits: in fp32 its tiles do not fit the registers"
    unfit = why_unfit(length=workload.length, head_width=workload.head_width)
    return unfit or why_unavailable(device)


def attend_with_own_kernel(inputs: AttentionInputs, mask: Tensor | None, dropout: float) -> Tensor:
    """As the encoder calls it; a mask is of padding, B11S."""
    mask_BS = None if mask is None else mask[:, 0, 0]
    return attend_packed(inputs.q_BMHK, inputs.packed_BSPHK, attention_mask_BS=mask_BS, dropout=dropout)


def choose_deterministic_backends(names: Sequence[str], *, faults: Mapping[str, str]) -> AttentionChoice:
    """The order of preference where nothing is timed: as given, which are right and deterministic. Pure."""
    left_out = "".join(f"; {name} is left out: {fault}" for name, fault in faults.items())
    fallback = () if _FALLBACK in names else (_FALLBACK,)
    return AttentionChoice((*names, *fallback), f"checked here, and not timed, to be deterministic{left_out}")


def choose_fastest_backends(seconds: Mapping[str, float], *, faults: Mapping[str, str]) -> AttentionChoice:
    """The order of preference that measured times give. Pure.

    Args:
        seconds: of an update's calls, for each kernel that is right.
        faults: why each of the others is left out.
    """
    left_out = "; ".join(f"{name} is left out: {fault}" for name, fault in faults.items())
    if not seconds:
        return AttentionChoice((_FALLBACK,), f"no backend passed, so plain mathematics; {left_out}")
    by_speed = sorted(seconds, key=seconds.__getitem__)
    timings = ", ".join(f"{name} {seconds[name] * 1e3:.2f} ms" for name in by_speed)
    names = tuple(name for name in by_speed if name in BACKENDS or name == by_speed[0])
    # Validation's last micro-batch, say, may have a shape that the first refuses; plain mathematics takes every shape.
    fallback = () if _FALLBACK in names else (_FALLBACK,)
    reason = f"checked and timed here, forward and backward of all layers: {timings}"
    return AttentionChoice((*names, *fallback), f"{reason}; {left_out}" if faults else reason)


def time_backend(
    attend: AttentionFunction, workload: AttentionWorkload, *, device: torch.device, dtype: torch.dtype | None
) -> float:
    """Seconds of the attention of all layers for one micro-batch, forward and backward."""
    return sum(
        call.num_layers * _time_call(attend, call, device=device, dtype=dtype or torch.float32)
        for call in workload.calls()
    )


def _time_call(attend: AttentionFunction, call: AttentionCall, *, device: torch.device, dtype: torch.dtype) -> float:
    workload = call.workload
    generator = torch.Generator(device=device).manual_seed(0)
    inputs = call.make_inputs(sequences=workload.sequences, device=device, dtype=dtype, generator=generator)
    mask = call.make_mask(sequences=workload.sequences, device=device)

    def run(times: int) -> float:
        synchronize(device)
        began_s = time.perf_counter()
        for _ in range(times):
            attend_and_differentiate(attend, inputs, mask, None, dropout=workload.dropout)
        synchronize(device)
        return time.perf_counter() - began_s

    run(_WARM_UPS)
    return min(run(_CALLS) for _ in range(_ROUNDS)) / _CALLS
