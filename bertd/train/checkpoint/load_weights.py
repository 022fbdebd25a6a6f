"""Find a checkpoint of a run and load its weights, for a program that does not train."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from bertd.errors import CheckpointError
from bertd.model.encoder import MaskedLanguageModel
from bertd.run.paths import RunPaths, newest_first, step_folder_name, step_of
from bertd.train.checkpoint.format import MODEL, STATE, find_checkpoint
from bertd.train.state import TrainState


def select_checkpoint(paths: RunPaths, step: int | None) -> tuple[Path, list[str]]:
    """The checkpoint of a step, unverified, or the newest valid one; and the damaged ones that were skipped.

    Raises:
        CheckpointError: there is none.
    """
    if step is None:
        found = find_checkpoint(paths.checkpoints)
        if found is None:
            raise CheckpointError(f"{paths.root}: has no checkpoint yet; `bertd checkpoint` saves one at the next step")
        return found.folder, found.skipped
    folder = paths.checkpoints / step_folder_name(step)
    if not folder.is_dir():
        kept = ", ".join(str(step_of(each)) for each in newest_first(paths.checkpoints))
        raise CheckpointError(f"{paths.root}: has no checkpoint of step {step}; kept are: {kept or 'none'}")
    return folder, []


def load_weights(folder: Path, model: MaskedLanguageModel) -> TrainState:
    """Copy a checkpoint's weights into the model; returns the state of the run then.

    Raises:
        CheckpointError: it does not fit, or was deleted.
    """
    try:
        model.load_state_dict(load_file(folder / MODEL))
        return TrainState.model_validate_json((folder / STATE).read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: was deleted while it was read; export a newer one") from error
    except (RuntimeError, OSError, SafetensorError, ValidationError) as error:
        raise CheckpointError(f"{folder}: does not fit this recipe's model: {error}; restore recipe.toml") from error
