"""Load a run's inputs, recipe and data set, which every rank reads before it builds anything."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass, replace

from bertd.data.batches.masking import Masker
from bertd.data.batches.mixed_sequences import Sequences, open_mixture
from bertd.data.dataset.mixture import DataMixture
from bertd.model.encoder import EncoderConfig
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import read_recipe
from bertd.run.recipe.schema import Recipe
from bertd.tokenizer.vocabulary import Vocabulary

VALIDATION_RATE = 0.15
"""Share of tokens to predict in validation. Source: Portes et al. 2023 and Warner et al. 2024 train with 30 % and
evaluate with this share."""


@dataclass(frozen=True)
class RunInputs:
    """The recipe and the data of a run, as they are on disk."""

    paths: RunPaths
    recipe: Recipe
    recipe_sha256: str
    dataset: DataMixture
    train: Sequences
    validation: Sequences

    def with_nodes(self, num_nodes: int) -> RunInputs:
        """The inputs of an attempt with so many of the recipe's machines."""
        if num_nodes == self.recipe.devices.nodes:
            return self
        devices = self.recipe.devices.model_copy(update={"nodes": num_nodes, "min_nodes": None, "hosts": []})
        return replace(self, recipe=self.recipe.model_copy(update={"devices": devices}))


def load_run_inputs(paths: RunPaths) -> RunInputs:
    """Read recipe and data.

    Raises:
        RecipeError: the recipe is not valid.
        ShardError: the data set is missing, damaged or too small.
        VocabularyError: its tokenizer is not the one it was prepared with.
    """
    recipe = read_recipe(paths.recipe)
    dataset = DataMixture.open(recipe.data.weights)

    def open_split(split: str) -> Sequences:
        data = recipe.data
        return open_mixture(dataset, split=split, sequence_length=data.sequence_length, packing=data.packing)

    return RunInputs(
        paths=paths,
        recipe=recipe,
        recipe_sha256=hash_recipe(paths.recipe.read_text(encoding="utf-8")),
        dataset=dataset,
        train=open_split("train"),
        validation=open_split("validation"),
    )


def hash_recipe(text: str) -> str:
    """Hash all of a recipe file but [devices], which a run may change between attempts.

    The hash is of the file and not of the parsed recipe: a key that a later bertd adds would change the hash of every
    older run.
    """
    tree = tomllib.loads(text)
    tree.pop("devices", None)
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()


def encoder_config(recipe: Recipe, *, vocab_size: int) -> EncoderConfig:
    """Combine the recipe's [model] and residual with the size of the vocabulary."""
    section = recipe.model
    return EncoderConfig(
        vocab_size=vocab_size,
        max_positions=recipe.data.sequence_length,
        layers=section.layers,
        width=section.width,
        heads=section.heads,
        ffn=section.ffn,
        norm=section.norm,
        embedding_norm=section.embedding_norm,
        activation=section.activation,
        positions=section.positions,
        bias=section.bias,
        depth_scaled_init=section.depth_scaled_init,
        norm_eps=section.norm_eps,
        rotary_base=section.rotary_base,
        local_attention=section.local_attention,
        global_every=section.global_every,
        local_rotary_base=section.local_rotary_base,
        dropout=section.dropout,
        attention_dropout=section.attention_dropout,
        has_bf16_residual=recipe.precision.residual == "bf16",
    )


def build_masker(recipe: Recipe, vocabulary: Vocabulary) -> Masker:
    """Build the masker for training."""
    section = recipe.masking
    predictions = section.predictions(recipe.data.sequence_length)
    return _build_masker(recipe, vocabulary, rate=section.rate, max_predictions=predictions)


def build_validation_masker(recipe: Recipe, vocabulary: Vocabulary) -> Masker:
    """Build the masker for validation: the same rate for every recipe, so that the losses of runs can be compared."""
    predictions = max(1, round(VALIDATION_RATE * recipe.data.sequence_length))
    return _build_masker(recipe, vocabulary, rate=VALIDATION_RATE, max_predictions=predictions)


def _build_masker(recipe: Recipe, vocabulary: Vocabulary, *, rate: float, max_predictions: int) -> Masker:
    section, length = recipe.masking, recipe.data.sequence_length
    return Masker(
        seed=recipe.run.seed,
        rate=rate,
        max_predictions=max_predictions,
        replace=section.replace,
        vocabulary=vocabulary,
        sequence_length=length,
        unit=section.unit,
        copies=section.copies or None,
    )
