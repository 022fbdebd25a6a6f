"""`python -m bertd.data.commands.inspect NAME`: show what a data set holds, and what a recipe makes of it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from dataclasses import asdict

from bertd.data.commands.arguments import parse_count, parse_rate, parse_sequence_length
from bertd.data.dataset.left_out_report import LeftOutReport, read_left_out
from bertd.data.dataset.locate import find_dataset
from bertd.data.dataset.shards import DataSet
from bertd.data.dataset.text_quality import read_quality
from bertd.data.inspect.budget_estimate import BudgetEstimate, estimate_budget, find_run, measure_run_speed
from bertd.data.inspect.left_out_lines import sample_lines
from bertd.data.inspect.render import dataset_lines, packing_lines, sequence_lines
from bertd.data.inspect.report import DecodedSequence, decode_sequences, measure_packings
from bertd.program import run_main
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import find_recipe, read_recipe
from bertd.run.recipe.schema import DataSection, MaskingSection, Recipe
from bertd.terminal_text import terminal_json, terminal_text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bertd data inspect", description="Show what a data set holds.")
    parser.add_argument("dataset", metavar="NAME", help="name or path of a data set")
    parser.add_argument("--recipe", help="name or path: its sequence length, packing, masking and budget")
    parser.add_argument("--run", help="id or folder of a run: its recipe, unless one is named, and its speed")
    parser.add_argument(
        "--sequences-per-s", type=parse_rate, metavar="N", help="speed, to estimate the sequences of a budget in hours"
    )
    parser.add_argument(
        "--sequence-length", type=parse_sequence_length, metavar="S", help="instead of the recipe's, or 128"
    )
    parser.add_argument("--sequences", type=parse_count, default=10, metavar="N", help="how many to show (10)")
    parser.add_argument(
        "--left-out", action="store_true", help="show samples of what was left out of each source, and nothing else"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    return run_main(lambda: _inspect(_parser().parse_args(argv)))


def _inspect(args: argparse.Namespace) -> None:
    root = find_dataset(args.dataset)
    dataset = DataSet.open(root)
    left_out = read_left_out(root)
    if args.left_out:
        _show_left_out(dataset, left_out, as_json=args.json)
        return
    run = None if args.run is None else find_run(args.run)
    recipe = None if args.recipe is None else read_recipe(find_recipe(args.recipe))
    if recipe is None and run is not None:
        recipe = read_recipe(run.recipe)
    data = DataSection(shards=str(root)) if recipe is None else recipe.data
    length = args.sequence_length or data.sequence_length
    estimate = None if recipe is None else _estimate_at_known_speed(recipe, run, given_speed=args.sequences_per_s)
    budget = None if estimate is None else estimate.sequences
    facts = measure_packings(dataset, sequence_length=length, budget_sequences=budget)
    decoded = decode_sequences(
        dataset,
        sequence_length=length,
        packing=data.packing,
        masking=MaskingSection() if recipe is None else recipe.masking,
        count=args.sequences,
        seed=42 if recipe is None else recipe.run.seed,
    )
    quality = read_quality(root)
    if args.json:
        tree = {
            "path": str(root),
            "fingerprint": dataset.fingerprint,
            "manifest": dataset.manifest.model_dump(mode="json"),
            "quality": None if quality is None else quality.model_dump(mode="json"),
            "left_out": None if left_out is None else left_out.model_dump(mode="json"),
            "packings": [asdict(fact) for fact in facts],
            "budget": None if estimate is None else asdict(estimate),
            "shown": [asdict(sequence) for sequence in decoded],
        }
        print(terminal_json(json.dumps(tree)))
        return
    lines = [*dataset_lines(dataset.manifest, quality, left_out, kind=dataset.vocabulary.kind, root=root), ""]
    lines += packing_lines(facts, length=length, estimate=estimate)
    print(terminal_text("\n".join(lines)))
    # Escape control characters of the corpus before colours are added.
    safe = [DecodedSequence(number=one.number, text=terminal_text(one.text)) for one in decoded]
    width = min(120, shutil.get_terminal_size().columns)
    is_coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print("\n".join(sequence_lines(safe, width=width, is_coloured=is_coloured)))


def _show_left_out(dataset: DataSet, left_out: LeftOutReport | None, *, as_json: bool) -> None:
    if as_json:
        report = None if left_out is None else left_out.model_dump(mode="json")
        tree = {"path": str(dataset.root), "fingerprint": dataset.fingerprint, "left_out": report}
        print(terminal_json(json.dumps(tree)))
    else:
        print(terminal_text("\n".join(sample_lines(dataset.manifest, left_out))))


def _estimate_at_known_speed(recipe: Recipe, run: RunPaths | None, *, given_speed: float | None) -> BudgetEstimate:
    """Estimate how many sequences the budget covers, at the given speed, else at the run's."""
    if given_speed is not None:
        return estimate_budget(recipe, sequences_per_s=given_speed, speed_source="as named")
    if run is not None:
        return estimate_budget(recipe, sequences_per_s=measure_run_speed(run), speed_source=f"run {run.root.name}")
    return estimate_budget(recipe, sequences_per_s=None, speed_source="")


if __name__ == "__main__":
    # Exit silently when the reader of a pipe closes it, as `head` does.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
