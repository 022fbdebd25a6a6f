"""`python -m bertd.data.inspect NAME`: what a data set holds, and what a recipe makes of it."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
from dataclasses import asdict

from bertd.data.buying import Bought, find_run, run_speed, what_is_bought
from bertd.data.inspection import Shown, packing_facts, show_sequences
from bertd.data.inspection_text import data_set_lines, packing_lines, sequence_lines
from bertd.data.pipeline import find_dataset
from bertd.data.quality import read_quality
from bertd.data.shards import DataSet
from bertd.errors import BertdError
from bertd.run.paths import RunPaths
from bertd.run.recipe import DataSection, MaskingSection, Recipe
from bertd.run.recipe_file import find_recipe, read_recipe
from bertd.terminal_text import terminal_text


def _length(text: str) -> int:
    return DataSection(shards="here", sequence_length=int(text)).sequence_length


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bertd data inspect", description="Show what a data set holds.")
    parser.add_argument("dataset", metavar="NAME", help="name or path of a data set")
    parser.add_argument("--recipe", help="name or path: its sequence length, packing, masking and budget")
    parser.add_argument("--run", help="id or folder of a run: its recipe, unless one is named, and its speed")
    parser.add_argument("--sequences-per-s", type=_rate, metavar="N", help="speed, to tell what hours of budget buy")
    parser.add_argument("--sequence-length", type=_length, metavar="S", help="instead of the recipe's, or 128")
    parser.add_argument("--sequences", type=_count, default=10, metavar="N", help="how many to show (10)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    asked = _parser().parse_args(argv)
    try:
        _inspect(asked)
    except BertdError as error:
        print(f"bertd: {terminal_text(str(error))}", file=sys.stderr)
        return error.exit_code
    return 0


def _inspect(asked: argparse.Namespace) -> None:
    root = find_dataset(asked.dataset)
    dataset = DataSet.open(root)
    run = None if asked.run is None else find_run(asked.run)
    recipe = None if asked.recipe is None else read_recipe(find_recipe(asked.recipe))
    if recipe is None and run is not None:
        recipe = read_recipe(run.recipe)
    data = DataSection(shards=str(root)) if recipe is None else recipe.data
    length = asked.sequence_length or data.sequence_length
    bought = None if recipe is None else _bought(recipe, run, named=asked.sequences_per_s)
    budget = None if bought is None else bought.sequences
    facts = packing_facts(dataset, sequence_length=length, budget_sequences=budget)
    shown = show_sequences(
        dataset,
        sequence_length=length,
        packing=data.packing,
        masking=MaskingSection() if recipe is None else recipe.masking,
        count=asked.sequences,
        seed=42 if recipe is None else recipe.run.seed,
    )
    quality = read_quality(root)
    if asked.json:
        tree = {
            "path": str(root),
            "fingerprint": dataset.fingerprint,
            "manifest": dataset.manifest.model_dump(mode="json"),
            "quality": None if quality is None else quality.model_dump(mode="json"),
            "packings": [asdict(fact) for fact in facts],
            "budget": None if bought is None else asdict(bought),
            "shown": [asdict(sequence) for sequence in shown],
        }
        print(json.dumps(tree))
        return
    lines = [*data_set_lines(dataset.manifest, quality, kind=dataset.vocabulary.kind, root=root), ""]
    lines += packing_lines(facts, length=length, bought=bought)
    print(terminal_text("\n".join(lines)))
    # The text of a corpus is made safe before colours are added to it.
    safe = [Shown(number=one.number, text=terminal_text(one.text)) for one in shown]
    width = min(120, shutil.get_terminal_size().columns)
    is_coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print("\n".join(sequence_lines(safe, width=width, is_coloured=is_coloured)))


def _bought(recipe: Recipe, run: RunPaths | None, *, named: float | None) -> Bought:
    """What the budget buys at the speed that was named, else at the run's."""
    if named is not None:
        return what_is_bought(recipe, sequences_per_s=named, whence="as named")
    if run is not None:
        return what_is_bought(recipe, sequences_per_s=run_speed(run), whence=f"run {run.root.name}")
    return what_is_bought(recipe, sequences_per_s=None, whence="")


if __name__ == "__main__":
    # Whoever reads may have enough, as `head` has: then this ends without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
