"""Choose the kernels of a run: compiled, apex or eager, as the recipe says, as known for its GPU, or as measured.

On Ampere and later GPUs a trial would cost two compilations of the model to learn what is known: compiled kernels join
what eager ones read and write one by one. A small function shows whether the compiler works. On older GPUs, which its
kernels are not made for and where apex may be installed, and on CPU, each kind is measured at the micro-batch that
the run is likely to use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch._dynamo
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from bertd.errors import DeviceError
from bertd.run.amounts.durations import format_duration
from bertd.run.recipe.schema import Recipe
from bertd.train.autotune.attention_backend import AttentionChoice
from bertd.train.autotune.speed_probe import ModelSetup, run_speed_probe
from bertd.train.backends.apex.check import Feature
from bertd.train.backends.apex.detect import Apex, detect_apex
from bertd.train.backends.deterministic import is_deterministic
from bertd.train.distributed.process_group import Ranks
from bertd.train.oom import out_of_memory_reason

_MEASUREMENT_COST_S = 120.0
"""Compiling for the speed probe and again for the run: 40 to 60 s each on two CPU cores; not measured on a GPU."""
_COMPILED_WITHOUT_TRIAL = (8, 0)
"""Compute capability of Ampere. Not measured on a GPU."""
_MIN_BUDGET_TO_MEASURE_S = {"cpu": 3600.0, "cuda": 900.0}
"""Smallest timed budget to measure. Compiling gains a tenth or nothing on CPU, reportedly a quarter or more on GPU."""


@dataclass(frozen=True)
class KernelChoice:
    """The chosen kernels; the same on every rank."""

    name: str
    """compile, apex or eager."""
    reason: str
    """As text, for the journal."""
    apex: Apex
    """Without classes unless apex was chosen."""
    speeds: Mapping[int, float] = field(default_factory=dict)
    """Sequences/s by micro-batch, as measured on rank 0; empty where nothing was."""
    compile_fault: str = ""
    """Why compiled kernels were tried and do not work here, as rank 0 found; else empty."""
    is_of_recipe: bool = False
    """Whether the recipe names them."""


def choose_kernels(
    setup: ModelSetup,
    *,
    attention: AttentionChoice,
    micros: Sequence[int],
    ranks: Ranks,
    earlier: KernelChoice | None = None,
) -> KernelChoice:
    """Return the recipe's kernels, or for `auto` the fastest on this device; every rank must call.

    Args:
        micros: sequences per pass of the speed probes; the next is used where one does not fit.
        earlier: choice of an earlier attempt of the run; kept, so that a resumed run rounds as before.

    Raises:
        DeviceError: the recipe says apex, and no part of it works on every rank.
    """
    wanted = setup.recipe.precision.kernels
    if wanted == "apex" or (earlier is not None and earlier.name == "apex"):
        chosen = _choose_apex(setup, ranks=ranks)
        return chosen if wanted == "apex" or earlier is None else replace(chosen, reason=earlier.reason)
    if wanted != "auto":
        return KernelChoice(name=wanted, reason="the recipe says so", apex=Apex(), is_of_recipe=True)
    if earlier is not None:
        return earlier
    if is_deterministic(setup.recipe):
        return _choose_without_timing(setup, ranks=ranks)
    if (reason := skip_measurement_reason(setup.recipe, device=setup.device.type)) is not None:
        return KernelChoice("eager", reason, Apex())
    if (known := _choose_known(setup, ranks=ranks)) is not None:
        return known
    return _measure_kernels(setup, attention=attention, micros=micros, ranks=ranks)


def _choose_known(setup: ModelSetup, *, ranks: Ranks) -> KernelChoice | None:
    """Return what needs no trial on rank 0's device, for all ranks; None if a trial is needed."""
    if setup.device.type != "cuda":
        return None
    capability = torch.cuda.get_device_capability(setup.device)
    is_known = ranks.is_first and capability >= _COMPILED_WITHOUT_TRIAL and find_compiler_fault(setup.device) is None
    if ranks.broadcast([float(is_known)]) != [1.0]:
        return None
    reason = f"taken without a trial from compute capability {'.'.join(map(str, _COMPILED_WITHOUT_TRIAL))} on"
    return KernelChoice("compile", reason, Apex())


def _choose_without_timing(setup: ModelSetup, *, ranks: Ranks) -> KernelChoice:
    """The compiler where it works on rank 0, or else eager kernels."""
    fault = find_compiler_fault(setup.device) if ranks.is_first else None
    (works,) = ranks.broadcast([float(fault is None)])
    reason = "nothing is timed, to be deterministic"
    if works:
        return KernelChoice("compile", reason, Apex())
    fault = fault or "rank 0 says why"
    return KernelChoice("eager", f"{reason}; compile failed: {fault}", Apex(), compile_fault=fault)


def find_compiler_fault(device: torch.device) -> str | None:
    """Compile and run a small function; return what failed in one line, such as a missing C compiler, or None."""

    def double(x: Tensor) -> Tensor:
        return x + x

    try:
        torch.compile(double, fullgraph=True, dynamic=False)(torch.ones(8, device=device))
    except (RuntimeError, TorchDynamoException) as error:
        return compiler_failure_reason(error) or str(error).strip().partition("\n")[0] or type(error).__name__
    finally:
        torch._dynamo.reset()
    return None


def skip_measurement_reason(recipe: Recipe, *, device: str) -> str | None:
    """Why `auto` means eager without measuring; None if measuring pays. Pure."""
    total_s, min_budget_s = recipe.granted.total_s, _MIN_BUDGET_TO_MEASURE_S[device]
    if total_s is not None and total_s < min_budget_s:
        return (
            f"a budget of {format_duration(total_s)} is too short for compiling to pay, or to measure whether it does: "
            f"that takes about {format_duration(_MEASUREMENT_COST_S)}, and is done from "
            f"{format_duration(min_budget_s)} on"
        )
    if total_s is None and device == "cpu":
        return "a budget of steps or sequences does not show whether compiling pays on a CPU; set kernels to try it"
    return None


def compiler_failure_reason(error: BaseException) -> str | None:
    """Describe a compiler error in one line; None for any other error. Source: torch._dynamo.exc."""
    if not isinstance(error, TorchDynamoException):
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith("raised:"):
        # The first line says only which backend failed.
        return f"{lines[0]} {lines[1]}"
    return lines[0] if lines else type(error).__name__


def _measure_kernels(
    setup: ModelSetup, *, attention: AttentionChoice, micros: Sequence[int], ranks: Ranks
) -> KernelChoice:
    """Measure on rank 0 the kernels that work on every rank, and use the fastest on all ranks.

    Raises:
        DeviceError: no kernels run.
    """
    apex, apex_reason = Apex(), "apex is not used with fp8"
    if setup.precision.mode != "fp8":
        apex = _find_usable_apex(setup, ranks)
        apex_reason = apex.describe_faults()
    names = [name for name in ("compile", "eager", "apex") if name != "apex" or apex.classes]
    speeds, faults, used = [0.0] * len(names), dict[str, str](), [0] * len(names)
    if ranks.is_first:
        for index, name in enumerate(names):
            used_apex = apex if name == "apex" else Apex()
            for micro in micros:
                try:
                    probe = run_speed_probe(setup, kernels=name, apex=used_apex, attention=attention, micro=micro)
                except (MemoryError, RuntimeError) as error:
                    # No C compiler, a kernel that this GPU lacks, or no memory: the reason says which.
                    faults[name] = compiler_failure_reason(error) or str(error).strip().partition("\n")[0]
                    if out_of_memory_reason(error) is None:
                        break
                    continue
                speeds[index], used[index] = probe.sequences_per_s, micro
                faults.pop(name, None)
                break
    speeds = ranks.broadcast(speeds)
    if not any(speeds):
        summary = ranks.broadcast_text("; ".join(f"{name}: {fault}" for name, fault in faults.items()))
        raise DeviceError(f'[precision] kernels = "auto": none works here: {summary}; lower batch.micro')
    index = speeds.index(max(speeds))
    best = names[index]
    summary = ", ".join(f"{name} {speed:,.1f}" for name, speed in zip(names, speeds, strict=True) if speed)
    sizes = " or ".join(map(str, sorted(set(used) - {0})))
    reason = f"measured here in sequences/s of one rank, {sizes} a pass: {summary}"
    failures_text = "".join(f"; {name} failed: {fault}" for name, fault in faults.items())
    return KernelChoice(
        best,
        f"{reason}{failures_text}{f'; {apex_reason}' if apex_reason else ''}",
        apex if best == "apex" else Apex(),
        speeds={used[index]: speeds[index]} if used[index] else {},
        compile_fault=faults.get("compile", ""),
    )


def _find_usable_apex(setup: ModelSetup, ranks: Ranks) -> Apex:
    recipe = setup.recipe
    apex = detect_apex(_list_useful_features(recipe), device=ranks.device, dtype=setup.precision.dtype)
    apex = _keep_shared_features(apex, ranks)
    if recipe.optimizer.kind == "lamb" and recipe.optimizer.weight_decay == 0:
        fault = "it does not scale parameters without weight decay, and weight_decay is 0; set it above 0"
        apex = apex.without(Feature.LAMB, fault)
    return apex


def _choose_apex(setup: ModelSetup, *, ranks: Ranks) -> KernelChoice:
    apex = _find_usable_apex(setup, ranks)
    if not apex.classes:
        faults = apex.describe_faults()
        raise DeviceError(f'[precision] kernels = "apex": no part of it can be used: {faults}; or use kernels = "auto"')
    used = f"the recipe says so; in use: {', '.join(apex.classes)}"
    return KernelChoice("apex", f"{used}; {apex.describe_faults()}" if apex.faults else used, apex)


def _list_useful_features(recipe: Recipe) -> list[Feature]:
    """Features that this recipe can use."""
    dense = [Feature.DENSE] if recipe.model.bias else []
    return [Feature.LAYER_NORM, *dense, Feature.LAMB if recipe.optimizer.kind == "lamb" else Feature.ADAM]


def _keep_shared_features(apex: Apex, ranks: Ranks) -> Apex:
    """Drop features that some rank cannot use: replicas that round differently would diverge."""
    features = [*apex.classes, *apex.faults]
    works = torch.tensor([float(feature in apex.classes) for feature in sorted(features)], device=ranks.device)
    everywhere = ranks.all_reduce_sum(works) == ranks.world_size
    for feature, is_everywhere in zip(sorted(features), everywhere.tolist(), strict=True):
        if feature in apex.classes and not is_everywhere:
            apex = apex.without(feature, "another rank cannot use it; give the run GPUs of one kind")
    return apex
