"""`python -m bertd.train.check_start_from < recipe.toml`: check that the model of model.start_from fits the recipe.

`bertd submit` runs this before the run is queued: otherwise the run could wait for hours and then fail at its start.
The weights are not read.
"""

from __future__ import annotations

import sys

from bertd.data.dataset.mixture import DataMixture
from bertd.model.pretrained import require_compatible_checkpoint
from bertd.program import run_main
from bertd.run.recipe.load import parse_recipe
from bertd.train.run_inputs import encoder_config


def main() -> int:
    """Return 0 if it fits; otherwise print one line on standard error and return the error's exit status."""
    return run_main(lambda: _check(sys.stdin.read()), is_logged=True)


def _check(recipe_toml: str) -> None:
    recipe = parse_recipe(recipe_toml, name="recipe")
    assert recipe.model.start_from is not None
    vocabulary = DataMixture.open(recipe.data.weights).vocabulary
    config = encoder_config(recipe, vocab_size=vocabulary.size)
    require_compatible_checkpoint(recipe.model.start_from, config, entries=vocabulary.entries)


if __name__ == "__main__":
    sys.exit(main())
