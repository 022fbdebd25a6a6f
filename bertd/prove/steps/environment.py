"""Versions, the card, its clocks and power, who else is on it; what is missing by name."""

from __future__ import annotations

import os
import platform
import shutil

from bertd.bench.gpu_state import find_visible_gpu, running_processes, sample_gpu
from bertd.prove.context import StepContext
from bertd.prove.packages import NEEDED, WANTED, read_version
from bertd.run.amounts.quantities import format_bytes
from bertd.run.machine.nvml import load_nvml


def prove(context: StepContext) -> None:
    """Record what this box is."""
    if context.is_cuda:
        # Before this process is on the card itself: in a container NVML knows it by another pid.
        context.attempt("the card", lambda: _state_card(context))
    import torch

    from bertd.train.backends.cuda_arch import require_supported_arch
    from bertd.train.provenance import device_name

    for distribution in (*NEEDED.values(), *WANTED.values()):
        version = read_version(distribution)
        if version is not None or distribution in NEEDED.values():
            context.state(distribution, version or "there, without a version")
    context.state("Python", platform.python_version())
    context.state("system", f"{platform.platform()}, {os.cpu_count()} cores")
    context.state("CUDA of torch", torch.version.cuda or "none: this torch is built for the CPU")
    if context.is_cuda and not torch.cuda.is_available():
        context.state("device", "no GPU")
        context.check("a GPU", False, f"torch {torch.__version__} sees none: {_why_no_gpu(torch.version.cuda)}")
        context.stop_proof("there is no GPU; --device cpu proves the CPU")
        return
    device = torch.device(context.options.device)
    context.state("device", device_name(device))
    context.check("the device answers", float(torch.ones(8, device=device).sum()) == 8.0, "a sum of eight ones is 8")
    compiler = shutil.which("g++") or shutil.which("clang++") or shutil.which("gcc")
    context.state("C++ compiler", compiler or "none: torch.compile cannot build for the CPU")
    if not context.is_cuda:
        context.skip("clocks and power", "on the CPU nothing reports them")
        return
    context.attempt("torch has code for the card", lambda: _check_arch(context, require_supported_arch))
    context.attempt("libraries", lambda: _state_libraries(context))


def _why_no_gpu(cuda: str | None) -> str:
    if cuda is None:
        return "it is built without CUDA; install a CUDA build of torch"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return f"CUDA_VISIBLE_DEVICES={visible}; look at nvidia-smi and the driver"
    return "look at nvidia-smi and the driver"


def _check_arch(context: StepContext, require_supported_arch: object) -> None:
    import torch

    assert callable(require_supported_arch)
    require_supported_arch(torch.cuda.device_count())
    capability = ".".join(map(str, torch.cuda.get_device_capability()))
    context.check("torch has code for the card", True, f"compute capability {capability}")
    context.state("compute capability", capability)


def _state_libraries(context: StepContext) -> None:
    import torch

    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    context.state("cuDNN", str(cudnn or "none"))
    if torch.distributed.is_nccl_available():
        context.state("NCCL", ".".join(map(str, torch.cuda.nccl.version())))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    properties = torch.cuda.get_device_properties(0)
    context.state(
        "card",
        f"{properties.multi_processor_count} multiprocessors, {format_bytes(properties.total_memory)}, "
        f"{format_bytes(properties.L2_cache_size)} L2; {torch.cuda.device_count()} visible",
    )


def _state_card(context: StepContext) -> None:
    nvml, reason = load_nvml()
    handle = None if nvml is None else find_visible_gpu(nvml)
    if nvml is None or handle is None:
        context.skip("clocks and power", reason or "NVML does not know the card that torch uses")
        return
    context.state("driver", str(nvml.nvmlSystemGetDriverVersion()))
    context.state("card now", sample_gpu(nvml, handle).describe())
    others = running_processes(nvml, handle)
    detail = f"pids {', '.join(map(str, others))} are on it: figures are not its own" if others else "nobody else"
    context.check("the card is ours alone", not others, detail)
