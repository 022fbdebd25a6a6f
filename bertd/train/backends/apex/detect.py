"""Detect which parts of NVIDIA apex are installed, work, and compute the same as torch.

Only runs whose kernels are "apex" or measured import apex. There are five kinds of fault, each with its reason: it is
not installed; PyPI's unrelated project of that name is; it was built without its CUDA extensions; it was built for
another PyTorch; or it was built without this GPU's kernels, which shows at the first launch or in wrong results. Each
feature is tested separately, because builds have some and not others.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertd.train.backends.apex.check import Feature, compare_with_torch
from bertd.train.backends.apex.modules import FusedLinear, build_fused_norm

_BUILD_HINT = "build it from https://github.com/NVIDIA/apex with APEX_CPP_EXT=1 APEX_CUDA_EXT=1"
_MODULES_AND_EXTENSIONS = {
    Feature.LAYER_NORM: ("apex.normalization", "fused_layer_norm_cuda"),
    Feature.DENSE: ("apex.fused_dense", "fused_dense_cuda"),
    Feature.ADAM: ("apex.optimizers", "amp_C"),
    Feature.LAMB: ("apex.optimizers", "amp_C"),
}
"""The module of a class, and the extension that it needs."""
_NVIDIA_ONLY_FILE = Path("normalization", "fused_layer_norm.py")
"""A file of NVIDIA's apex that PyPI's project does not have."""


@dataclass(frozen=True)
class Apex:
    """The features that were tested: those that work, and the faults of the others."""

    classes: dict[Feature, Callable[..., Any]] = field(default_factory=dict)
    """apex's classes of the features that work."""
    faults: dict[Feature, str] = field(default_factory=dict)
    """Why the others are not used, with the remedy."""

    def without(self, feature: Feature, fault: str) -> Apex:
        """Return a copy in which one feature is faulty."""
        kept = {each: apex_class for each, apex_class in self.classes.items() if each is not feature}
        return Apex(classes=kept, faults={**self.faults, feature: fault})

    def describe_faults(self) -> str:
        """List every reason once, after the features that it applies to."""
        by_fault: dict[str, list[Feature]] = {}
        for feature, fault in self.faults.items():
            by_fault.setdefault(fault, []).append(feature)
        return "; ".join(f"not {', '.join(features)}: {fault}" for fault, features in by_fault.items())


def detect_apex(
    wanted: Iterable[Feature],
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    runs_on: frozenset[str] = frozenset({"cuda"}),
) -> Apex:
    """Import and test the wanted features.

    Args:
        dtype: of autocast in the run; None if autocast is off.
        runs_on: device types that apex has kernels for; the fake apex of the tests has them for the CPU.
    """
    apex = Apex()
    for feature in wanted:
        found = _detect(feature, device=device, dtype=dtype, runs_on=runs_on)
        if isinstance(found, str):
            apex.faults[feature] = found
        else:
            apex.classes[feature] = found
    return apex


def use_fused_modules(model: nn.Module, apex: Apex) -> None:
    """Replace torch's norms and linear layers by apex's, with the same parameters."""
    norm, dense = apex.classes.get(Feature.LAYER_NORM), apex.classes.get(Feature.DENSE)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if norm is not None and isinstance(child, nn.LayerNorm):
                setattr(parent, name, build_fused_norm(norm, child))
            # Without a bias there is nothing to fuse.
            if dense is not None and isinstance(child, nn.Linear) and child.bias is not None:
                setattr(parent, name, FusedLinear(dense, child))


def _detect(
    feature: Feature, *, device: torch.device, dtype: torch.dtype | None, runs_on: frozenset[str]
) -> Callable[..., Any] | str:
    """The class, or why it is not used."""
    if device.type not in runs_on:
        return f"its kernels run on {' and '.join(sorted(runs_on))}, and this run on {device.type}"
    loaded = _wrong_project_reason() or _load_class(feature)
    return loaded if isinstance(loaded, str) else _verify_class(feature, loaded, device=device, dtype=dtype)


def _wrong_project_reason() -> str | None:
    """Say why the installed package is not NVIDIA's apex, without importing it; None if it is."""
    spec = importlib.util.find_spec("apex")
    if spec is None:
        return f"apex is not installed; {_BUILD_HINT}"
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not any((folder / _NVIDIA_ONLY_FILE).is_file() for folder in folders):
        where = spec.origin or ", ".join(map(str, folders))
        return f"{where} is not NVIDIA's apex, PyPI has another project of that name; uninstall it and {_BUILD_HINT}"
    return None


def _load_class(feature: Feature) -> Callable[..., Any] | str:
    module, extension = _MODULES_AND_EXTENSIONS[feature]
    if importlib.util.find_spec(extension) is None:
        return f"apex was built without {extension}; {_BUILD_HINT}"
    try:
        importlib.import_module(extension)
    except ImportError as error:
        cause = f"was built for another PyTorch than {torch.__version__}" if "undefined symbol" in str(error) else ""
        return f"{extension} {cause or 'cannot be loaded'}: {error}; build apex again"
    try:
        apex_class: Callable[..., Any] = getattr(importlib.import_module(module), feature)
    except (ImportError, AttributeError, RuntimeError) as error:
        return f"{module} cannot be imported with PyTorch {torch.__version__}: {error}; build a newer apex"
    return apex_class


def _verify_class(
    feature: Feature, apex_class: Callable[..., Any], *, device: torch.device, dtype: torch.dtype | None
) -> Callable[..., Any] | str:
    try:
        difference = compare_with_torch(feature, apex_class, device=device, dtype=dtype)
    except TypeError as error:
        return f"{feature} has another signature than bertd expects: {error}; build a newer apex"
    except (RuntimeError, ImportError) as error:
        first_line = str(error).partition("\n")[0]
        return f"{feature} does not run here: {first_line}; build apex {_rebuild_hint(device)}"
    if difference is not None:
        return f"{feature} does not compute what PyTorch does: {difference}; build apex {_rebuild_hint(device)}"
    return apex_class


def _rebuild_hint(device: torch.device) -> str:
    if device.type != "cuda":
        return "again"
    major, minor = torch.cuda.get_device_capability(device)
    return f"with TORCH_CUDA_ARCH_LIST={major}.{minor}, for the {torch.cuda.get_device_name(device)}"
