"""Read the software that a job starts with, and say what differs from that of another time. Imports no package."""

from __future__ import annotations

import hashlib
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path

import bertd
from bertd.records import Software

_VARIABLES = frozenset({"CC", "CXX", "LD_LIBRARY_PATH", "PYTHONPATH"})
_PREFIXES = (
    *("OMP_", "MKL_", "CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_", "GLOO_", "TORCH", "PYTORCH_", "TRITON_"),
)
_LEASED = "CUDA_VISIBLE_DEVICES"
"""Set for each start by the devices that it gets."""
_SUFFIXES = frozenset({".py", ".toml", ".css", ".tcss"})
_LOOK_EVERY_S = 2.0
"""A look takes some milliseconds, in which the daemon serves nobody."""
_MAX_NAMED = 8
"""Packages that a text names one by one."""
_FIRST = ("torch", "transformers", "triton", "numpy", "tokenizers", "safetensors")
"""Named before the others."""


class InstalledSoftware:
    """Reads it when something has changed: an upgrade may come while the daemon runs."""

    def __init__(self, variables: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._variables = variables
        self._clock = clock
        self._looked_s = -math.inf
        self._stamp: tuple[tuple[str, int], ...] = ()
        self._known: Software | None = None

    def read(self) -> Software:
        """As of a moment ago: files are looked at again after `_LOOK_EVERY_S`, and read if one has changed."""
        if self._known is None or self._clock() - self._looked_s > _LOOK_EVERY_S:
            stamp = tuple(_stamps())
            if self._known is None or stamp != self._stamp:
                self._known, self._stamp = read_software(self._variables), stamp
            self._looked_s = self._clock()
        return self._known


def read_software(variables: Mapping[str, str]) -> Software:
    """The software of this interpreter."""
    return Software(
        bertd=bertd.__version__,
        source_sha256=_hash_source(),
        python=platform.python_version(),
        packages=dict(sorted((found.name.lower(), found.version) for found in distributions() if found.name)),
        variables={
            name: variables[name]
            for name in sorted(variables)
            if name != _LEASED and (name in _VARIABLES or name.startswith(_PREFIXES))
        },
    )


def describe_changes(before: Software, after: Software) -> list[str]:
    """What differs, the most important first; no value of a variable. Pure."""
    changes = []
    if before.bertd != after.bertd:
        changes.append(f"bertd {before.bertd} is now {after.bertd}")
    elif before.source_sha256 != after.source_sha256:
        changes.append("the source of bertd was changed")
    if before.python != after.python:
        changes.append(f"Python {before.python} is now {after.python}")
    packages = [*_package_changes(before.packages, after.packages)]
    changes += packages[:_MAX_NAMED]
    if len(packages) > _MAX_NAMED:
        changes.append(f"{len(packages) - _MAX_NAMED} more packages")
    names = sorted({*before.variables, *after.variables})
    changed = [name for name in names if before.variables.get(name) != after.variables.get(name)]
    if changed:
        changes.append(f"the environment has another {', '.join(changed)}")
    return changes


def _package_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    names = sorted({*before, *after} - {"bertd"}, key=lambda name: (name not in _FIRST, name))
    for name in names:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None:
            yield f"{name} {new} is new"
        else:
            yield f"{name} {old} is gone" if new is None else f"{name} {old} is now {new}"


def _files() -> list[Path]:
    root = Path(bertd.__file__).parent
    return sorted(path for path in root.rglob("*") if path.suffix in _SUFFIXES)


def _hash_source() -> str:
    root, digest = Path(bertd.__file__).parent, hashlib.sha256()
    for path in _files():
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _stamps() -> Iterator[tuple[str, int]]:
    """What changes when a package is installed, or a file of bertd is written."""
    for folder in sys.path:
        try:
            yield folder, Path(folder).stat().st_mtime_ns
        except OSError:
            continue
    for path in _files():
        yield str(path), path.stat().st_mtime_ns
