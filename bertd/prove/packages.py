"""Which packages a proof needs and which of them are missing; the standard library alone, since it says so first."""

from __future__ import annotations

import importlib.metadata
import importlib.util

NEEDED = {
    "torch": "torch",
    "transformers": "transformers",
    "tokenizers": "tokenizers",
    "numpy": "numpy",
    "safetensors": "safetensors",
    "psutil": "psutil",
    "pydantic": "pydantic",
    "tomli_w": "tomli-w",
}
"""Modules, and the distributions that have them."""
WANTED = {"pynvml": "nvidia-ml-py", "triton": "triton"}
"""Of these the absence is said and survived: without the first there are no clocks, without the second no compiling."""


def find_missing(modules: dict[str, str]) -> list[str]:
    """Distributions of modules that cannot be imported here."""
    return [distribution for module, distribution in modules.items() if importlib.util.find_spec(module) is None]


def read_version(distribution: str) -> str | None:
    """Of an installed one; None of one that is not."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
