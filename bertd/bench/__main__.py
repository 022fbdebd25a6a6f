"""`bertd bench [RECIPE]`: compare the training speed of this model and of stock ones on this machine.

Every contender does the same updates on the same tensors, in turns, each at its fastest micro-batch. TFLOP/s count the
model's matrix products, the same number for all, so that saved work shows as speed. `--synthetic` needs no data set;
with a data set, one more row is a whole run: the trainer's own update, the recipe's optimizer and its data path.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bertd.program import run_main
from bertd.run.recipe.load import find_recipe, read_recipe


def main() -> int:
    """Run the bench and print its table."""
    return run_main(
        lambda: _bench(_parser().parse_args()), interrupted="bertd: interrupted; no measurement was completed"
    )


def _bench(args: argparse.Namespace) -> int:
    recipe = None if args.recipe is None else read_recipe(find_recipe(args.recipe), overrides=args.set)
    # Only here: torch takes seconds to import, also where an argument is wrong or --help is all.
    from bertd.bench.compare_speed import compare_speed

    return compare_speed(args, recipe=recipe)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bertd bench", description=__doc__)
    parser.add_argument("recipe", nargs="?", help="a recipe by name or path (fast with a GPU, else demo)")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value", help="override the recipe")
    parser.add_argument("--synthetic", action="store_true", help="random tokens instead of the recipe's data set")
    parser.add_argument("--sequences", type=int, help="sequences per update (32 on CPU, 1024 on a GPU)")
    parser.add_argument(
        "--micro", type=int, nargs="+", help="micro-batches to try, ascending (8 16 32 on CPU, 64 256 512 on a GPU)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each contender (3)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a measurement (10)")
    parser.add_argument("--ladder", action="store_true", help="only this model, adding one optimization per row")
    parser.add_argument("--out", type=Path, metavar="FILE", help="append each figure to FILE as it is measured")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
