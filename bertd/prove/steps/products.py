"""What bounds the speed here: the twelve matrix products of a layer, the memory's bandwidth, with clocks and watts.

The twelve are the four linear layers, each forward, for the gradient of its input and for that of its weights. Operands
are random and taken in turn from several sets, so that no cache holds them and no product of zeros saves power.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from bertd.bench.gpu_state import GpuWatch
from bertd.prove.context import StepContext
from bertd.prove.sizes import choose_recipe
from bertd.run.amounts.quantities import format_bytes
from bertd.train.backends.synchronize import synchronize

_ROUNDS = 5
_SETS = 3


def prove(context: StepContext) -> None:
    """Measure each."""
    device = torch.device(context.options.device)
    is_bf16 = context.is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    dtype = torch.bfloat16 if is_bf16 else torch.float16 if context.is_cuda else torch.float32
    context.attempt("products", lambda: _measure_products(context, device, dtype))
    context.attempt("bandwidth", lambda: _measure_bandwidth(context, device))
    if context.is_cuda:
        context.attempt("host copies", lambda: _measure_host_copies(context, device))
    else:
        context.skip("host copies", "on the CPU there are none")


def _measure_products(context: StepContext, device: torch.device, dtype: torch.dtype) -> None:
    recipe = choose_recipe(is_cuda=context.is_cuda, is_tiny=context.is_tiny)
    model, length = recipe.model, recipe.data.sequence_length
    tokens = length * (512 if context.is_cuda and not context.is_tiny else 16)
    layers = {
        "qkv": (model.width, 3 * model.width),
        "out": (model.width, model.width),
        "up": (model.width, model.ffn),
        "down": (model.ffn, model.width),
    }
    seconds = context.turn_s(share=0.5, turns=12, most=0.5)
    total_flops = total_s = 0.0
    for name, (inputs, outputs) in layers.items():
        # (rows, inner, columns) of the forward product, of the input's gradient, of the weights' gradient.
        for kind, shape in {
            "forward": (tokens, inputs, outputs),
            "gradient of the input": (tokens, outputs, inputs),
            "gradient of the weights": (outputs, tokens, inputs),
        }.items():
            flops = 2.0 * shape[0] * shape[1] * shape[2]
            product = _make_product(shape, kind, device=device, dtype=dtype)
            with GpuWatch(is_wanted=context.is_cuda) as watch:
                each_s = _time(product, device, seconds=seconds)
            total_flops, total_s = total_flops + flops, total_s + each_s
            state = "" if watch.state is None else f"; {watch.state.describe()}"
            context.measure(
                f"products.{name}.{kind.replace(' ', '_')}",
                f"{name}, {kind}",
                flops / each_s / 1e12,
                "TFLOP/s",
                f"{shape[0]:,} x {shape[1]:,} x {shape[2]:,}, {str(dtype).removeprefix('torch.')}{state}",
            )
    context.measure(
        "products.mean", "the twelve together", total_flops / total_s / 1e12, "TFLOP/s", "the work over its time"
    )


def _make_product(
    shape: tuple[int, int, int], kind: str, *, device: torch.device, dtype: torch.dtype
) -> Callable[[], object]:
    """One of the three, with the operands as they are in memory: weights are kept as outputs by inputs."""
    rows, inner, columns = shape

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(size, device=device, dtype=dtype)

    operands = [
        (
            draw(inner, rows).T if kind == "gradient of the weights" else draw(rows, inner),
            draw(columns, inner).T if kind == "forward" else draw(inner, columns),
        )
        for _ in range(_SETS)
    ]
    out = torch.empty(rows, columns, device=device, dtype=dtype)
    turn = 0

    def product() -> object:
        nonlocal turn
        turn = (turn + 1) % _SETS
        return torch.mm(*operands[turn], out=out)

    return product


def _measure_bandwidth(context: StepContext, device: torch.device) -> None:
    num_bytes = (1 << 32 if context.is_cuda else 1 << 28) if not context.is_tiny else 1 << 22
    source = torch.randint(0, 255, (num_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    with GpuWatch(is_wanted=context.is_cuda) as watch:
        each_s = _time(lambda: target.copy_(source), device, seconds=context.turn_s(share=0.2, turns=1, most=1.0))
    state = "" if watch.state is None else f"; {watch.state.describe()}"
    context.check("a copy is the same", torch.equal(source, target), format_bytes(num_bytes))
    detail = f"a copy of {format_bytes(num_bytes)}, read and written{state}"
    context.measure("products.bandwidth", "bandwidth of the memory", 2 * num_bytes / each_s / 1e12, "TB/s", detail)


def _measure_host_copies(context: StepContext, device: torch.device) -> None:
    host = torch.randint(0, 255, (1 << 28,), dtype=torch.uint8).pin_memory()
    there = torch.empty_like(host, device=device)
    seconds = context.turn_s(share=0.2, turns=2, most=0.5)
    to_device_s = _time(lambda: there.copy_(host, non_blocking=True), device, seconds=seconds)
    context.measure("products.to_device", "host to device, pinned", host.nbytes / to_device_s / 1e9, "GB/s", "256 MiB")
    to_host_s = _time(lambda: host.copy_(there, non_blocking=True), device, seconds=seconds)
    context.measure("products.to_host", "device to host, pinned", host.nbytes / to_host_s / 1e9, "GB/s", "256 MiB")


def _time(call: Callable[[], object], device: torch.device, *, seconds: float) -> float:
    """Median over rounds of the mean time of a call, warm, with one wait at the end of each round."""

    def run(times: int) -> float:
        began_s = time.perf_counter()
        for _ in range(times):
            call()
        synchronize(device)
        return time.perf_counter() - began_s

    run(2)
    times = max(1, round(seconds / _ROUNDS / max(run(2) / 2, 1e-7)))
    return statistics.median(run(times) / times for _ in range(_ROUNDS))
