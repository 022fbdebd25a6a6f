"""A run that was paused in the middle and resumed ends with the weights of one that was not.

Bit for bit on the CPU. On a GPU two identical runs differ already, by sums in another order: there the difference must
be within that noise, and bit for bit with precision.deterministic.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from bertd.prove.context import StepContext
from bertd.prove.run_probe import ProbeFailedError, make_run
from bertd.prove.sizes import choose_recipe, with_data
from bertd.prove.steps.whole_run import proof_dataset
from bertd.records import StartRecord
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths, newest_first
from bertd.run.recipe.schema import Recipe

_STEPS = 12
_NOISE_FACTOR = 3.0
"""How far beyond the difference of one pair of identical runs another pair may be."""


def prove(context: StepContext) -> None:
    """Train both ways; compare."""
    data = proof_dataset(context)
    # The real one has the width and the products of the large model in few layers, and compiles in seconds. Kernels are
    # given: two runs that measured them might choose differently.
    small = [] if context.is_tiny else ["model.layers=4", "batch.sequences=256", "batch.micro=128"]
    small += ["precision.kernels=compile"] if context.is_cuda else []
    overrides = [f"budget.steps={_STEPS}", "validation.max_sequences=16", *small, *with_data(data)]
    recipe = choose_recipe(is_cuda=context.is_cuda, is_tiny=context.is_tiny, overrides=overrides)
    context.attempt("interrupted equals uninterrupted", lambda: _compare_runs(context, recipe, name="resume"))
    if context.is_cuda:
        exact = choose_recipe(
            is_cuda=True, is_tiny=context.is_tiny, overrides=[*overrides, "precision.deterministic=true"]
        )
        context.attempt(
            "bit for bit under deterministic algorithms", lambda: _compare_runs(context, exact, name="deterministic")
        )
    else:
        context.skip("bit for bit under deterministic algorithms", "on the CPU it is so without them")


def _compare_runs(context: StepContext, recipe: Recipe, *, name: str) -> None:
    is_exact = not context.is_cuda or name == "deterministic"
    whole, twin, resumed = (context.work / f"{name}-{kind}" for kind in ("whole", "twin", "resumed"))
    folders = [whole, resumed] if is_exact else [whole, twin, resumed]
    for folder in folders:
        make_run(folder, recipe)
    for folder in folders:
        _finish(context, _start(folder, *(["--pause-at", str(_STEPS // 2)] if folder == resumed else [])))
    _finish(context, _start(resumed, "--attempt", "2"))
    chosen = {_chosen_attention(folder) for folder in folders}
    if len(chosen) > 1:
        # Each run timed them, and they round differently.
        context.skip(name, f"the runs chose other attention kernels, so there is nothing to compare: {chosen}")
        return
    difference = _difference(_final_weights(whole), _final_weights(resumed))
    what = f"{_STEPS} steps, and {_STEPS // 2} and {_STEPS - _STEPS // 2} around a pause"
    if is_exact:
        context.check(f"{name}: bit for bit", difference == 0.0, f"{what}: weights differ by {difference:.1e}")
        return
    noise = _difference(_final_weights(whole), _final_weights(twin))
    context.measure("resuming.noise", "difference of two identical runs", noise, "", "norm over norm of all weights")
    context.check(
        f"{name}: within the noise",
        difference <= _NOISE_FACTOR * noise,
        f"{what}: weights differ by {difference:.1e}; two identical runs differ by {noise:.1e}",
    )


def _start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bertd.prove.single_rank", str(folder), *arguments]
    with RunPaths(folder).log.open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ))


def _finish(context: StepContext, process: subprocess.Popen[bytes]) -> None:
    try:
        status = process.wait(max(1.0, context.left_s() - 1.0))
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise ProbeFailedError("a run took too long") from error
    if status != 0:
        folder = Path(process.args[3]) if isinstance(process.args, list) else Path()
        lines = RunPaths(folder).log.read_text(errors="replace").splitlines()[-3:]
        raise ProbeFailedError(f"a run ended with status {status}: {' / '.join(lines)}")


def _chosen_attention(folder: Path) -> str:
    starts = [record for record in read_journal(RunPaths(folder).journal) if isinstance(record, StartRecord)]
    return starts[0].attention


def _final_weights(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = load_file(newest_first(RunPaths(folder).checkpoints)[0] / "model.safetensors")
    return weights


def _difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Norm of the difference over the norm; 0 only where every bit is the same."""
    if all(torch.equal(a[name], b[name]) for name in a):
        return 0.0
    squares = sum(float((a[name].double() - b[name].double()).square().sum()) for name in a)
    return float((squares / sum(float(tensor.double().square().sum()) for tensor in a.values())) ** 0.5)
