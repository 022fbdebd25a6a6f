"""Admit a pretraining by the model it starts from: a folder of stock transformers, or a name on the hub.

The weights and the entries of the vocabulary are compared by `bertd submit`, which runs bertd.train.check_start_from,
and by the run itself. Here is what a look at the folder shows.
"""

from __future__ import annotations

import re
from pathlib import Path

from bertd.daemon.admission.readable import kind_of, read_json_object, unreadable_message
from bertd.errors import CheckpointError
from bertd.run.pretrained_folder import CONFIG_FILE, SHAPE_KEYS, WEIGHT_FILES
from bertd.run.recipe.schema import Recipe

_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?$", re.ASCII)


def require_usable_start(recipe: Recipe, *, name: str, vocab_size: int) -> None:
    """Check the folder, or the form of the name.

    Args:
        name: of the recipe, in messages.
        vocab_size: of the shards.

    Raises:
        CheckpointError: a run cannot start from it.
    """
    source = recipe.model.start_from
    if source is None:
        return
    place = f"{name}: [model] start_from = {source if len(source) < 300 else source[:300] + '...'}"
    remedy = f"give a folder with {CONFIG_FILE} and weights, such as an export, or a name on the hub"
    if not source.startswith("/"):
        if not _HUB_NAME.fullmatch(source):
            raise CheckpointError(f"{place}: neither an absolute path nor a name on the hub; {remedy}")
        return
    folder = Path(source)
    try:
        kind = kind_of(folder)
        if kind != "a folder":
            raise CheckpointError(f"{place}: {kind}, and not a folder; {remedy}")
        if not any(kind_of(folder / file) == "a file" for file in WEIGHT_FILES):
            raise CheckpointError(f"{place}: has no {' or '.join(WEIGHT_FILES[:2])}; {remedy}")
        config = read_json_object(folder / CONFIG_FILE)
    except OSError as error:
        raise CheckpointError(f"{place}: {unreadable_message(folder, error)}") from error
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}; {remedy}") from error
    _require_shape(config, recipe, place=place, vocab_size=vocab_size)


def _require_shape(config: dict[str, object], recipe: Recipe, *, place: str, vocab_size: int) -> None:
    entries = config.get("vocab_size")
    # A vocabulary may be padded with rows that no entry uses, so it may be larger.
    if isinstance(entries, int) and entries < vocab_size:
        raise CheckpointError(
            f"{place}: its vocabulary has {entries} entries and the shards' {vocab_size}; prepare the data set "
            "with the checkpoint's own: bertd data prepare --vocab"
        )
    differing = {
        ours: config[theirs]
        for theirs, ours in SHAPE_KEYS.items()
        if theirs in config and config[theirs] != getattr(recipe.model, ours)
    }
    if differing:
        keys = ", ".join(f"{key} = {value!r:.40}" for key, value in differing.items())
        raise CheckpointError(f"{place}: of another shape than the recipe's; write {keys} in [model]")
