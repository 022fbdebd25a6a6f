"""Train one arm of bertd without a daemon: run folder, ledger, and the launcher of `bertd.train`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bertd.bench.quality.stock import SpentBudget
from bertd.errors import BertdError
from bertd.records import EndRecord
from bertd.run.atomic_files import atomic_write
from bertd.run.journal import read_journal
from bertd.run.ledger import TICK_S, Ledger
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.schema import Recipe
from bertd.terminal_text import terminal_text


def train(recipe: Recipe, folder: Path) -> tuple[Path, SpentBudget]:
    """Train to the end of the budget.

    Returns:
        The export's folder, and what was spent.

    Raises:
        BertdError: the run failed; the end of its log was printed.
    """
    paths = RunPaths(folder)
    paths.logs.mkdir(parents=True)
    paths.control.mkdir()
    atomic_write(paths.recipe, format_recipe(recipe))
    ledger = Ledger(paths.ledger)
    command = [sys.executable, "-m", "bertd.train.distributed.launch", str(folder)]
    with paths.log.open("wb") as log:
        ledger.begin()
        ranks = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            while ranks.poll() is None:
                _wait_one_tick(ranks)
                ledger.tick()
        finally:
            ranks.terminate()
            ranks.wait()
            ledger.end()
    ends = [record for record in read_journal(paths.journal) if isinstance(record, EndRecord)]
    if not ends or ends[-1].export is None:
        print(terminal_text(paths.log.read_text(errors="replace")[-2000:].strip()), file=sys.stderr)
        raise BertdError(f"{folder}: the run failed; the end of its log is above")
    end = ends[-1]
    return paths.exports / Path(str(end.export)).name, SpentBudget(end.step, end.sequences, end.charged_s)


def _wait_one_tick(ranks: subprocess.Popen[bytes]) -> None:
    try:
        ranks.wait(timeout=TICK_S)
    except subprocess.TimeoutExpired:
        pass
