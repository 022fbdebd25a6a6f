"""The Triton attention kernel: in Triton's interpreter, and compiled, as far as that goes without a GPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bertd.train.backends.triton_attention import why_unavailable, why_unfit

APART = Path(sys.prefix) / "apart" / "triton"
"""Where `make test` puts it."""
ROOT = Path(__file__).parents[3]


def run_with_triton(*arguments: str, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own: triton is not to be seen by the others, and is told once whether to interpret."""
    if not APART.is_dir():
        pytest.skip(f"no triton in {APART}: `make test` puts it there")
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), **variables}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(APART)])
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def run_tests(name: str, *, tmp_path: Path, **variables: str) -> None:
    options = ("-p", "no:xdist", "-p", "no:cacheprovider", "-x")

    ended = run_with_triton(str(Path(__file__).with_name(name)), *options, tmp_path=tmp_path, **variables)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout and "skipped" not in ended.stdout


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_it_computes_attention_in_tritons_interpreter(tmp_path: Path) -> None:
    run_tests("interpreted_triton_attention.py", tmp_path=tmp_path, TRITON_INTERPRET="1")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_it_compiles_for_cards_that_are_not_there(tmp_path: Path) -> None:
    run_tests("compiled_triton_attention.py", tmp_path=tmp_path)


def test_it_says_why_it_cannot_run_here() -> None:
    assert why_unavailable(torch.device("cpu")) == "it needs a GPU, and this is cpu"
    assert why_unfit(length=128, head_width=64) is None
    assert why_unfit(length=512, head_width=64) == "it takes up to 128 tokens, not 512"
    assert why_unfit(length=128, head_width=48) == "it takes heads of width 16, 32, 64, 128, not 48"


def test_it_says_so_where_the_card_is_old_or_triton_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Titan V")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    reason = why_unavailable(torch.device("cuda", 0))
    assert reason == "it needs an NVIDIA GPU of the Ampere generation or later, not Titan V"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert why_unavailable(torch.device("cuda", 0)) == "triton is not installed"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    reason = why_unavailable(torch.device("cuda", 0))
    assert reason is not None and reason.startswith("triton does not import: ")
