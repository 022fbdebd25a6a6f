"""Time the start of a run on a data set of 300 billion tokens, of which almost all is holes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bertd.bench.scale.figures import ScaleFigure
from bertd.bench.scale.small_corpus import make_small_dataset
from bertd.bench.scale.sparse_data import stretch_dataset
from bertd.errors import BertdError
from bertd.records import StepRecord
from bertd.run.atomic_files import atomic_write
from bertd.run.journal import read_journal
from bertd.run.ledger import Ledger
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import find_recipe, format_recipe, read_recipe

STREAM_TOKENS = 300_000_000_000
MAX_START_S = 10.0
_TIMEOUT_S = 600.0
_KEYS = (
    "run.name=start",
    "budget.steps=1",
    "model.layers=1",
    "model.width=64",
    "model.heads=2",
    "model.ffn=128",
    "batch.sequences=16",
    "batch.micro=16",
    "batch.ramp=[]",
    "validation.max_sequences=16",
    "precision.kernels=eager",
    "stop.rules=[]",
    "devices.kind=cpu",
    "devices.count=1",
)


def measure_start() -> list[ScaleFigure]:
    """From the launch of a run's processes to the end of its first step, on a small data set and on a large one."""
    with tempfile.TemporaryDirectory(prefix="bertd-scale-") as name:
        folder = Path(name)
        small = make_small_dataset(folder)
        large = stretch_dataset(small, folder / "large", stream_tokens=STREAM_TOKENS)
        small_s = _first_step_s(folder / "run-small", small)
        large_s = _first_step_s(folder / "run-large", large)
    return [
        ScaleFigure("start of a run on 100 thousand tokens, to its first step", small_s, "s"),
        ScaleFigure("start of a run on 300 billion tokens, to its first step", large_s, "s", MAX_START_S),
    ]


def _first_step_s(folder: Path, shards: Path) -> float:
    paths = RunPaths(folder)
    paths.logs.mkdir(parents=True)
    paths.control.mkdir()
    recipe = read_recipe(find_recipe("fast"), overrides=[f"data.shards={shards}", *_KEYS])
    atomic_write(paths.recipe, format_recipe(recipe))
    ledger = Ledger(paths.ledger)
    ledger.begin()
    begin_t = time.time()
    command = [sys.executable, "-m", "bertd.train.distributed.launch", str(folder)]
    with paths.log.open("wb") as log:
        try:
            done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=_TIMEOUT_S, check=False)
        finally:
            ledger.end()
    steps = [record for record in read_journal(paths.journal) if isinstance(record, StepRecord)]
    if done.returncode or not steps:
        raise BertdError(f"the run on {shards} failed: {paths.log.read_text(errors='replace')[-1000:].strip()}")
    return steps[0].t - begin_t
