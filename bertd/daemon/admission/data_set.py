"""Admit a pretraining by its data set: what the manifest already shows to be too little is refused."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from bertd.daemon.admission.readable import unreadable_message
from bertd.errors import RecipeError, ShardError
from bertd.run.amounts.quantities import format_count
from bertd.run.data_mixture import MixtureManifest, mix_manifests
from bertd.run.dataset_manifest import (
    MANIFEST_FILE,
    Manifest,
    SplitName,
    damage_message,
    find_damage,
    read_manifest,
)
from bertd.run.recipe.schema import Recipe


def require_usable_data(recipe: Recipe, *, name: str) -> MixtureManifest:
    """The manifests of the recipe's data sets.

    Args:
        name: of the recipe, in messages.

    Raises:
        ShardError: a data set is not there, its manifest or a file's size is wrong, a split has no sequence, or the
            data sets cannot be mixed.
        RecipeError: the budget is less than one step.
    """
    data = recipe.data
    for shards in data.weights:
        if not Path(shards).is_absolute():
            raise ShardError(f"{name}: [data] shards = {shards}: not an absolute path; `bertd submit` makes it one")
    mixture = mix_manifests(
        {Path(shards): (weight, require_manifest(Path(shards))) for shards, weight in data.weights.items()}
    )
    for split in get_args(SplitName):
        mixture.require_sequences(split, sequence_length=data.sequence_length, packing=data.packing)
    _require_one_step(recipe, name=name)
    return mixture


def require_manifest(shards: Path) -> Manifest:
    """The manifest of a data set whose files have the sizes that it says.

    Raises:
        ShardError: there is none, or a file has another size.
    """
    try:
        has_manifest = (shards / MANIFEST_FILE).is_file()
    except OSError as error:
        raise ShardError(unreadable_message(shards, error)) from error
    if not has_manifest:
        raise ShardError(f"{shards}: no prepared data set (no {MANIFEST_FILE}); make one with `bertd data prepare`")
    manifest = read_manifest(shards)
    if damaged := find_damage(shards, manifest):
        raise ShardError(damage_message(shards, damaged))
    return manifest


def _require_one_step(recipe: Recipe, *, name: str) -> None:
    granted, first_step = recipe.budget.sequences, recipe.batch.sequences_at(0.0)
    if granted is not None and granted < first_step:
        raise RecipeError(
            f"{name}: [budget] sequences = {granted}: less than the first step of "
            f"{format_count(first_step, 'sequence')}; give more, or lower batch.sequences"
        )
