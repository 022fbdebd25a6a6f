"""`python -m bertd.train.check_start_from < recipe.toml`: does the checkpoint of model.start_from fit the recipe?

`bertd submit` asks before the run is queued, where it may wait for hours only to fail when it starts. The weights are
not read.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bertd.data.dataset.shards import DataSet
from bertd.model.pretrained import require_compatible_checkpoint
from bertd.program import run_main
from bertd.run.recipe.load import parse_recipe
from bertd.train.run_inputs import encoder_config


def main() -> int:
    """Nothing is said of one that fits; else a line on standard error, and the error's exit status."""
    return run_main(lambda: _check(sys.stdin.read()))


def _check(recipe_toml: str) -> None:
    recipe = parse_recipe(recipe_toml, name="recipe")
    assert recipe.model.start_from is not None
    vocabulary = DataSet.open(Path(recipe.data.shards)).vocabulary
    config = encoder_config(recipe, vocab_size=vocabulary.size)
    require_compatible_checkpoint(recipe.model.start_from, config, entries=vocabulary.entries)


if __name__ == "__main__":
    sys.exit(main())
