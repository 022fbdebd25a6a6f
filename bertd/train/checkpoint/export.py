"""Export a run's weights: a folder that stock transformers loads, with a model card about the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from bertd.data.dataset.mixture import DataMixture
from bertd.model.encoder import EncoderConfig
from bertd.model.export import export_weights
from bertd.run.recipe.schema import Recipe
from bertd.train.checkpoint.model_card import model_card
from bertd.train.state import TrainState


def export_state(
    weights: Mapping[str, Tensor],
    config: EncoderConfig,
    folder: Path,
    *,
    state: TrainState,
    recipe: Recipe,
    dataset: DataMixture,
    charged_s: float,
) -> str:
    """Write the weights of `state` as an export.

    Args:
        weights: under the model's own names, on any device.
        folder: appears only when it is complete.
        recipe: with the budget at the time of `state`.
        charged_s: time charged for these weights.

    Returns:
        The transformers class name.

    Raises:
        StorageError: the disk refused; no partial export is left.
    """
    mask_token = dataset.vocabulary.mask_token
    card = model_card(recipe, state, dataset.manifest, mask_token=mask_token, charged_s=charged_s)
    return export_weights(weights, config, folder, tokenizer_dir=dataset.tokenizer_dir, model_card=card)
