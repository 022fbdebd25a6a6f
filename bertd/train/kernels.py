"""Which kernels a run uses and why: decided once, by the recipe and what is there, and written into the journal."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bertd.errors import DeviceError
from bertd.run.recipe import Recipe
from bertd.train.apex import Apex, look_for_apex
from bertd.train.apex_probes import Feature
from bertd.train.precision import Precision
from bertd.train.ranks import Ranks


@dataclass(frozen=True)
class Kernels:
    """The choice; the same on every rank."""

    name: str
    """compile, apex or eager."""
    reason: str
    """For people."""
    apex: Apex
    """Its parts are none unless the recipe says apex."""


def choose_kernels(recipe: Recipe, *, precision: Precision, ranks: Ranks) -> Kernels:
    """The recipe's kernels, or for `auto` what suits the device; every rank must call.

    Raises:
        DeviceError: the recipe says apex, and nothing of it works on every rank.
    """
    wanted = recipe.precision.kernels
    if wanted == "apex":
        return _choose_apex(recipe, precision=precision, ranks=ranks)
    if wanted != "auto":
        return Kernels(name=wanted, reason="the recipe says so", apex=Apex())
    if ranks.device.type == "cuda":
        return Kernels("compile", "on a GPU the compiler's fusion outweighs its minutes", Apex())
    return Kernels("eager", "on CPU compiling takes longer than a short budget repays", Apex())


def _choose_apex(recipe: Recipe, *, precision: Precision, ranks: Ranks) -> Kernels:
    apex = look_for_apex(_features(recipe), device=ranks.device, dtype=precision.dtype)
    apex = _works_everywhere(apex, ranks)
    if recipe.optimizer.kind == "lamb" and recipe.optimizer.weight_decay == 0:
        fault = "it leaves what does not decay unscaled, and weight_decay is 0; set it above 0"
        apex = apex.without(Feature.LAMB, fault)
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
