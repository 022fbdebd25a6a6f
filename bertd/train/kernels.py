"""Which kernels a run uses and why: decided once, by the recipe and what is there, and written into the journal."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch._dynamo.exc import TorchDynamoException

from bertd.errors import DeviceError
from bertd.run.durations import format_duration
from bertd.run.recipe import Recipe
from bertd.train.apex import Apex, look_for_apex
from bertd.train.apex_probes import Feature
from bertd.train.attention import Attention
from bertd.train.ranks import Ranks
from bertd.train.trial import Setting, run_trial

_MEASURING_S = 120.0
"""Of compiling for a trial and again for the run: on two CPU cores 40 to 60 s each; unmeasured on a GPU."""
_WORTH_MEASURING_S = {"cpu": 3600.0, "cuda": 900.0}
"""Budgets from here on. On a CPU compiling gains a tenth where it gains at all; on a GPU a quarter and more is said."""


@dataclass(frozen=True)
class Kernels:
    """The choice; the same on every rank."""

    name: str
    """compile, apex or eager."""
    reason: str
    """For people."""
    apex: Apex
    """Its parts are none unless apex was chosen."""


def choose_kernels(
    setting: Setting, *, attention: Attention, micro: int, ranks: Ranks, earlier: Kernels | None = None
) -> Kernels:
    """The recipe's kernels, or for `auto` the fastest here; every rank must call.

    Args:
        micro: sequences in a pass of the trials.
        earlier: what an earlier attempt of the run measured; kept, so that a resumed run rounds as before.

    Raises:
        DeviceError: the recipe says apex, and nothing of it works on every rank.
    """
    wanted = setting.recipe.precision.kernels
    if wanted == "apex" or (earlier is not None and earlier.name == "apex"):
        chosen = _choose_apex(setting, ranks=ranks)
        return chosen if wanted == "apex" or earlier is None else replace(chosen, reason=earlier.reason)
    if wanted != "auto":
        return Kernels(name=wanted, reason="the recipe says so", apex=Apex())
    if earlier is not None:
        return earlier
    if (reason := why_not_measure(setting.recipe, device=setting.device.type)) is not None:
        return Kernels("eager", reason, Apex())
    return _measure(setting, attention=attention, micro=micro, ranks=ranks)


def why_not_measure(recipe: Recipe, *, device: str) -> str | None:
    """Why `auto` is eager without a trial; None where trials pay. Pure."""
    total_s, worth_s = recipe.granted.total_s, _WORTH_MEASURING_S[device]
    if total_s is not None and total_s < worth_s:
        return (
            f"a budget of {format_duration(total_s)} is too short to measure what compiling gains: that takes about "
            f"{format_duration(_MEASURING_S)}, and is done from {format_duration(worth_s)} on"
        )
    if total_s is None and device == "cpu":
        return "a budget of steps or sequences does not tell whether compiling pays on a CPU; set kernels to try it"
    return None


def compiler_failure(error: BaseException) -> str | None:
    """What went wrong in the compiler, in one line; None where it is another error. Source: torch._dynamo.exc."""
    if not isinstance(error, TorchDynamoException):
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _measure(setting: Setting, *, attention: Attention, micro: int, ranks: Ranks) -> Kernels:
    """Try what works everywhere on rank 0, and let every rank follow.

    Raises:
        DeviceError: nothing runs.
    """
    apex, without = Apex(), "fp8 leaves no place for apex"
    if setting.precision.mode != "fp8":
        apex = _usable_apex(setting, ranks)
        without = apex.describe_faults()
    names = [name for name in ("compile", "eager", "apex") if name != "apex" or apex.parts]
    speeds, faults = [0.0] * len(names), dict[str, str]()
    if ranks.is_first:
        for index, name in enumerate(names):
            parts = apex if name == "apex" else Apex()
            try:
                trial = run_trial(setting, kernels=name, apex=parts, attention=attention, micro=micro)
            except RuntimeError as error:
                # The compiler without a C compiler, a kernel that this GPU lacks, or no memory: said in the reason.
                faults[name] = str(error).strip().partition("\n")[0]
                continue
            speeds[index] = trial.sequences_per_s
    speeds = ranks.share(speeds)
    if not any(speeds):
        told = "; ".join(f"{name}: {fault}" for name, fault in faults.items()) or "rank 0 says why"
        raise DeviceError(f'[precision] kernels = "auto": none works here: {told}; lower batch.micro')
    best = names[speeds.index(max(speeds))]
    told = ", ".join(f"{name} {speed:,.1f}" for name, speed in zip(names, speeds, strict=True) if speed)
    reason = f"measured here in sequences/s of one rank, {micro} a pass: {told}"
    failed = "".join(f"; {name} failed: {fault}" for name, fault in faults.items())
    return Kernels(best, f"{reason}{failed}{f'; {without}' if without else ''}", apex if best == "apex" else Apex())


def _usable_apex(setting: Setting, ranks: Ranks) -> Apex:
    recipe = setting.recipe
    apex = look_for_apex(_features(recipe), device=ranks.device, dtype=setting.precision.dtype)
    apex = _works_everywhere(apex, ranks)
    if recipe.optimizer.kind == "lamb" and recipe.optimizer.weight_decay == 0:
        fault = "it leaves what does not decay unscaled, and weight_decay is 0; set it above 0"
        apex = apex.without(Feature.LAMB, fault)
    return apex


def _choose_apex(setting: Setting, *, ranks: Ranks) -> Kernels:
    apex = _usable_apex(setting, ranks)
    if not apex.parts:
        faults = apex.describe_faults()
        raise DeviceError(f'[precision] kernels = "apex": nothing of it can be used: {faults}; or use kernels = "auto"')
    used = f"the recipe says so; in use: {', '.join(apex.parts)}"
    return Kernels("apex", f"{used}; {apex.describe_faults()}" if apex.faults else used, apex)


def _features(recipe: Recipe) -> list[Feature]:
    """What this recipe has a use for."""
    dense = [Feature.DENSE] if recipe.model.bias else []
    return [Feature.LAYER_NORM, *dense, Feature.LAMB if recipe.optimizer.kind == "lamb" else Feature.ADAM]


def _works_everywhere(apex: Apex, ranks: Ranks) -> Apex:
    """Less what some rank cannot use: replicas that round differently would drift apart."""
    features = [*apex.parts, *apex.faults]
    works = torch.tensor([float(feature in apex.parts) for feature in sorted(features)], device=ranks.device)
    everywhere = ranks.add_up(works) == ranks.world_size
    for feature, is_everywhere in zip(sorted(features), everywhere.tolist(), strict=True):
        if feature in apex.parts and not is_everywhere:
            apex = apex.without(feature, "another rank cannot use it; give the run GPUs of one kind")
    return apex
