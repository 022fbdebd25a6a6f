"""`python -m bertd.train.check_start_from < recipe.toml`: does the checkpoint of model.start_from fit the recipe?

`bertd submit` asks before the run is queued, where it may wait for hours only to fail when it starts. The weights are
not read.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bertd.data.dataset.shards import DataSet
from bertd.errors import BertdError
from bertd.model.pretrained import require_compatible_checkpoint
from bertd.run.recipe.load import parse_recipe
from bertd.terminal_text import terminal_line
from bertd.train.run_inputs import encoder_config


def main() -> int:
    """Nothing is said of one that fits; else a line on standard error, and the error's exit status."""
    try:
        recipe = parse_recipe(sys.stdin.read(), name="recipe")
        assert recipe.model.start_from is not None
        vocabulary = DataSet.open(Path(recipe.data.shards)).vocabulary
        config = encoder_config(recipe, vocab_size=vocabulary.size)
        require_compatible_checkpoint(recipe.model.start_from, config, entries=vocabulary.entries)
    except BertdError as error:
        print(f"bertd: {terminal_line(str(error))}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
