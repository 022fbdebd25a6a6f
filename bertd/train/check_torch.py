"""The checks of `bertd doctor` that need torch: it prints its findings as JSON, in one line.

A program of the compute side; bertd.doctor.torch_checks starts it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from typing import Any

import torch
from pydantic import TypeAdapter

from bertd.errors import DeviceError
from bertd.records import Finding, Severity
from bertd.run.amounts.quantities import format_bytes
from bertd.train.autotune.kernels import find_compiler_fault
from bertd.train.backends.cuda_arch import require_supported_arch

_PINNED_BYTES = 1 << 26
"""More than the batches of a run that are read ahead."""
_INSTALL = "install a CUDA build of torch, see https://pytorch.org/get-started/locally"


def main(arguments: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="bertd.train.check_torch", description=__doc__)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that the driver lists")
    args = parser.parse_args(arguments)
    findings = list(check_torch(num_gpus=args.gpus))
    print(TypeAdapter(list[Finding]).dump_json(findings).decode())


def check_torch(*, num_gpus: int) -> Iterator[Finding]:
    """All checks of the installed torch; `num_gpus` are listed by the driver."""
    has_gpu = torch.cuda.is_available()
    yield _judge_build(num_gpus=num_gpus, has_gpu=has_gpu)
    if has_gpu:
        yield from _check_cards()
    else:
        yield from _check_cpu_kernels()
    device = torch.device("cuda" if has_gpu else "cpu")
    yield _judge_compiler(find_compiler_fault(device), device=device)


def check_build(*, num_gpus: int) -> Iterator[Finding]:
    """What torch's build costs a run on the CPU: that it is one for the CPU beside GPUs, or lacks kernels.

    A build for CUDA that sees no GPU is as it should be there: the daemon gives such a run none.
    """
    if torch.version.cuda is None and torch.version.hip is None:
        yield _judge_build(num_gpus=num_gpus, has_gpu=False)
    yield from _check_cpu_kernels()


def _check_cpu_kernels() -> Iterator[Finding]:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch leaves it untyped
        yield Finding(
            check="oneDNN",
            severity=Severity.SLOW,
            text=f"torch {torch.__version__} is built without oneDNN",
            remedy="install a wheel of PyTorch's own",
            cost="products of matrices on the CPU are slower",
        )


def _judge_build(*, num_gpus: int, has_gpu: bool) -> Finding:
    version = f"torch {torch.__version__}"
    if has_gpu or not num_gpus:
        return Finding(check="torch", severity=Severity.OK, text=version)
    cost = "recipes for a GPU fail, and others train on the CPU"
    if torch.version.cuda is None and torch.version.hip is None:
        return Finding(
            check="torch",
            severity=Severity.FAULT,
            text=f"{version} is built without CUDA, and the driver lists {num_gpus} GPU{'s' if num_gpus > 1 else ''}",
            remedy=_INSTALL,
            cost=cost,
        )
    return Finding(
        check="torch",
        severity=Severity.FAULT,
        text=f"{version} cannot use the GPU: {_why_no_cuda()}",
        remedy="update the driver, or install a build of torch for its CUDA version",
        cost=cost,
    )


def _why_no_cuda() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return f"CUDA_VISIBLE_DEVICES={visible}"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    except (RuntimeError, AssertionError) as error:
        return str(error).strip().partition("\n")[0]
    return "CUDA lists no device"


def _check_cards() -> Iterator[Finding]:
    try:
        require_supported_arch(torch.cuda.device_count())
    except DeviceError as error:
        yield Finding(check="torch's code", severity=Severity.FAULT, text=str(error), cost="every job on it fails")
        return
    name = torch.cuda.get_device_name()
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        yield Finding(
            check="precision",
            severity=Severity.NOTE,
            text=f"{name} has no bf16; runs use fp16 with a loss scale",
            cost="steps whose gradients overflow are skipped",
        )
    if torch.cuda.device_count() > 1 and not torch.distributed.is_nccl_available():
        yield Finding(
            check="NCCL",
            severity=Severity.FAULT,
            text=f"torch {torch.__version__} is built without NCCL",
            remedy=_INSTALL,
            cost="runs on several GPUs fail",
        )
    yield from _check_pinned_memory()
    cuda: Any = torch.backends.cuda  # torch leaves its functions untyped
    if not (cuda.flash_sdp_enabled() or cuda.mem_efficient_sdp_enabled()):
        yield Finding(
            check="attention",
            severity=Severity.SLOW,
            text="PyTorch's fused attention kernels are switched off in this environment",
            cost="attention reads and writes all its scores in memory",
        )


def _check_pinned_memory() -> Iterator[Finding]:
    """Whether copies to the GPU can come from pinned memory, as those of batches do: others wait for the GPU."""
    try:
        torch.empty(_PINNED_BYTES, dtype=torch.uint8, pin_memory=True)
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        yield Finding(
            check="pinned memory",
            severity=Severity.FAULT,
            text=f"{format_bytes(_PINNED_BYTES)} of memory cannot be pinned: {reason}",
            remedy="raise the limit on locked memory: LimitMEMLOCK= of the unit, --ulimit memlock of the container",
            cost="runs on a GPU end at their first batch",
        )


def _judge_compiler(fault: str | None, *, device: torch.device) -> Finding:
    if fault is None:
        return Finding(check="compiler", severity=Severity.OK, text=f"torch.compile works on the {device.type}")
    remedy = "install g++" if device.type == "cpu" else "install gcc, the Python headers (python3-dev) and triton"
    return Finding(
        check="compiler",
        severity=Severity.SLOW,
        text=f"torch.compile does not work on the {device.type}: {fault}",
        remedy=remedy,
        cost="runs use eager kernels; the ladder of `bertd bench` shows by how much those are slower",
    )


if __name__ == "__main__":
    main()
