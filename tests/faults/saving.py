"""Saves for the storage tests: of a model of a few kilobytes, in this process or in a child that can be killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from bertd.errors import BertdError
from bertd.model.encoder import MaskedLanguageModel
from bertd.run.paths import step_folder_name
from bertd.run.recipe.schema import OptimizerSection
from bertd.train.checkpoint.format import save_checkpoint
from bertd.train.checkpoint.staging import StagedTensors, StagingBuffers
from bertd.train.optim.optimizer import build_optimizers
from bertd.train.state import TrainState
from tests.model.test_encoder import batch
from tests.model.test_export import TINY

REFUSED = 7
"""Exit status of a child whose save was refused with an error of ours."""


def tiny_tensors() -> StagedTensors:
    """Weights and moments after one step."""
    model = MaskedLanguageModel(TINY, seed=1)
    optimizers = build_optimizers(model, OptimizerSection())
    model(*batch()).backward()
    optimizers.combined.step()
    tensors = StagingBuffers(torch.device("cpu")).stage(model=model.state_dict(), optimizer=optimizers.tensors())
    tensors.finish_copy()
    return tensors


def save(root: Path, tensors: StagedTensors, *, step: int) -> Path:
    """Write and commit one checkpoint."""
    state = TrainState(step=step, sequences=step, charged_s=1.0, recipe_sha256="r", data_fingerprint="d")
    return save_checkpoint(root, tensors=tensors, state=state)


@dataclass(frozen=True)
class Saved:
    """How a child's save ended."""

    status: int
    """The child's, negative for a signal."""
    was_hit: bool
    """Whether the fault was injected."""


def save_under_strace(root: Path, tensors: StagedTensors, *, step: int, inject: str, folder: Path) -> Saved:
    """Fork, have strace tamper with the child's system calls, and save there.

    Args:
        inject: argument of strace's --inject.
        folder: where strace writes its trace.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.kill(os.getpid(), signal.SIGSTOP)
            save(root, tensors, step=step)
            status = 0
        except BertdError:
            status = REFUSED
        finally:
            os._exit(status)
    os.waitpid(child, os.WUNTRACED)
    trace = folder / "trace"
    calls = inject.partition(":")[0]
    command = ["strace", "-f", "-p", str(child), "-o", str(trace), "-e", f"trace={calls}", "-e", f"inject={inject}"]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    attached = tracer.stderr.readline()
    assert "attached" in attached, attached
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    tracer.communicate()
    code = os.waitstatus_to_exitcode(status)
    was_hit = code == -signal.SIGKILL or bool(re.search(r"\(INJECTED\)", trace.read_text()))
    return Saved(status=code, was_hit=was_hit)


def complete(root: Path) -> set[str]:
    """Names under which a reader would find a checkpoint."""
    return {entry.name for entry in root.iterdir() if entry.name.startswith("step-")}


def names(*steps: int) -> set[str]:
    return {step_folder_name(step) for step in steps}
