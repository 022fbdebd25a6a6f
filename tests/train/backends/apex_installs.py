"""Installations of apex for tests: NVIDIA's, complete or in part, broken builds, and PyPI's project of that name.

All are built from tests/train/backends/stand_in_apex, which has NVIDIA's signatures and no CUDA.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

STAND_IN = Path(__file__).parent / "stand_in_apex"
LAYER_NORM, DENSE, OPTIMIZERS = "fused_layer_norm_cuda", "fused_dense_cuda", "amp_C"

GOOD = {
    LAYER_NORM: """
import torch
def layer_norm(x, weight, bias, shape, eps):
    return torch.nn.functional.layer_norm(x, shape, weight, bias, eps)
""",
    DENSE: """
def forward(rows, weight, bias):
    return rows @ weight.t() + bias
""",
    OPTIMIZERS: """
def _update(p, m, v, group, gradient):
    (b1, b2), t = group["betas"], group["step"]
    m.mul_(b1).add_(gradient, alpha=1 - b1)
    v.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
    return m / (1 - b1**t) / ((v / (1 - b2**t)).sqrt() + group["eps"]) + group["weight_decay"] * p
def adam(p, m, v, group):
    p.sub_(group["lr"] * _update(p, m, v, group, p.grad))
def lamb(p, m, v, group, clip):
    update = _update(p, m, v, group, p.grad / clip)
    scales = group["weight_decay"] != 0 and p.norm() > 0 and update.norm() > 0
    p.sub_(group["lr"] * (p.norm() / update.norm() if scales else 1.0) * update)
""",
}
"""Sources of the extension modules."""
ANOTHER_ABI = 'raise ImportError("/x/y.so: undefined symbol: _ZN3c104cuda9SetDeviceEi")'
NO_LIBRARY = 'raise ImportError("libcudart.so.12: cannot open shared object file: No such file or directory")'
NO_IMAGE = """
def _launch(*_):
    raise RuntimeError("CUDA error: no kernel image is available for execution on the device\\nCompile with ...")
layer_norm = forward = adam = lamb = _launch
"""
WRONG = {
    LAYER_NORM: "def layer_norm(x, weight, bias, shape, eps):\n    return x * weight + bias\n",
    # As in memory that is never written, because cuBLAS failed and its status is not checked.
    DENSE: "def forward(rows, weight, bias):\n    return (rows @ weight.t()) * float('nan')\n",
    OPTIMIZERS: "def adam(p, m, v, group):\n    p.sub_(group['lr'] * p.grad)\nlamb = lambda *_: None\n",
}


def install(folder: Path, extensions: dict[str, str]) -> None:
    """Install NVIDIA's package with these extension modules, each given by its source."""
    shutil.copytree(STAND_IN, folder / "apex", ignore=shutil.ignore_patterns("__pycache__"))
    for name, source in extensions.items():
        (folder / f"{name}.py").write_text(source)


def install_pypis(folder: Path) -> None:
    """Install the toolkit for Pyramid that PyPI has under this name."""
    (folder / "apex").mkdir()
    (folder / "apex" / "__init__.py").write_text('raise ImportError("UnencryptedCookieSessionFactoryConfig")\n')


def _names() -> list[str]:
    return [name for name in sys.modules if name == "apex" or name.startswith("apex.") or name in GOOD]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, first on the search path; modules imported from it are unloaded afterwards."""
    before = {name: sys.modules.pop(name) for name in _names()}
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in _names():
        del sys.modules[name]
    sys.modules.update(before)
