"""A finetuning after an epoch, on disk: what was killed continues there, with the numbers it would have had.

    epoch/
      model.safetensors       weights
      optimizer.safetensors   `parameter/slot` tensors
      random.safetensors      torch's generators, of the CPU and the GPU
      best.safetensors        weights of the best epoch, if they are to be kept
      predictions.npz         predictions after the best epoch; an older version saved none
      state.json              EpochState

The folder is written whole. An epoch that took less than SAVE_EVERY_S since the last save is not saved: doing it again
costs less than writing it.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertd.errors import CheckpointError, StorageError
from bertd.glue.progress import ProgressJournal
from bertd.glue.training.best_epoch import BestEpoch
from bertd.glue.training.dev_predictions import pack_predictions, unpack_predictions
from bertd.glue.training.update import Updates
from bertd.records import FinetuneSpec, Record
from bertd.run.atomic_files import exchange_folders, fsync_folder, temporary_folder

SAVE_EVERY_S = 60.0
"""At BERT-large a save writes 4 GB: weights and both moments in fp32."""
_MODEL, _OPTIMIZER, _RANDOM, _BEST = (
    "model.safetensors",
    "optimizer.safetensors",
    "random.safetensors",
    "best.safetensors",
)
_STATE, _PREDICTIONS = "state.json", "predictions.npz"


class EpochState(Record):
    """Content of state.json."""

    spec: FinetuneSpec
    num_train: int
    """Training examples: with other data the updates would be others."""
    step: int
    examples: int
    elapsed_s: float
    """Running time, of all attempts."""
    metrics: list[dict[str, float]]
    """After each epoch; as many as are done."""
    scaler: dict[str, int | float]
    """State of fp16's gradient scaler."""


class EpochStore:
    """Saves a finetuning after its epochs, and gives a later attempt the newest."""

    def __init__(self, folder: Path, *, spec: FinetuneSpec, num_train: int) -> None:
        self._folder = folder
        self._spec = spec
        self._num_train = num_train
        self._saved_s = time.monotonic()

    def is_due(self) -> bool:
        """Whether enough was done since the last save."""
        return time.monotonic() - self._saved_s >= SAVE_EVERY_S

    def save(self, model: nn.Module, updates: Updates, best: BestEpoch, progress: ProgressJournal) -> None:
        """Replace what was saved.

        Raises:
            StorageError: the disk refused; what was saved before is still there.
        """
        state = EpochState(
            spec=self._spec,
            num_train=self._num_train,
            step=progress.step,
            examples=progress.examples,
            elapsed_s=progress.elapsed_s(),
            metrics=best.all_metrics,
            scaler=updates.scaler_state(),
        )
        try:
            with temporary_folder(self._folder) as temporary:
                save_file(_on_cpu(model.state_dict()), temporary / _MODEL)
                save_file(_on_cpu(updates.optimizer_tensors()), temporary / _OPTIMIZER)
                save_file(_read_generators(), temporary / _RANDOM)
                if best.weights is not None:
                    save_file(_on_cpu(best.weights), temporary / _BEST)
                (temporary / _PREDICTIONS).write_bytes(pack_predictions(best.predictions))
                (temporary / _STATE).write_text(state.model_dump_json(), encoding="utf-8")
                for entry in temporary.iterdir():
                    with entry.open("rb") as file:
                        os.fsync(file.fileno())
                fsync_folder(temporary)
                _replace(temporary, self._folder)
            fsync_folder(self._folder.parent)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StorageError(f"{self._folder}: cannot save the epoch: {reason}; free space there") from error
        self._saved_s = time.monotonic()

    def restore(self, model: nn.Module, updates: Updates, best: BestEpoch, progress: ProgressJournal) -> int:
        """Bring everything to where the newest saved epoch left it; returns the epochs done, 0 if there is none.

        Raises:
            CheckpointError: what was saved is damaged, or is of other settings or data; nothing was changed.
        """
        if not self._folder.is_dir():
            return 0
        try:
            state = EpochState.model_validate_json((self._folder / _STATE).read_bytes())
            weights, slots, generators = (load_file(self._folder / name) for name in (_MODEL, _OPTIMIZER, _RANDOM))
            kept = load_file(self._folder / _BEST) if (self._folder / _BEST).is_file() else None
            file = self._folder / _PREDICTIONS
            predictions = unpack_predictions(file.read_bytes(), place=str(file)) if file.is_file() else {}
        except (OSError, ValidationError, SafetensorError) as error:
            raise CheckpointError(f"{self._folder}: the saved epoch is damaged ({type(error).__name__})") from error
        if state.spec != self._spec or state.num_train != self._num_train:
            raise CheckpointError(f"{self._folder}: the saved epoch is of other settings or data")
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        if shapes != {name: tensor.shape for name, tensor in weights.items()}:
            raise CheckpointError(f"{self._folder}: the saved epoch is of another model")
        model.load_state_dict(weights)
        updates.restore(slots, scaler=state.scaler, step=state.step)
        best.resume(state.metrics, weights=kept, predictions=predictions)
        progress.resume(step=state.step, examples=state.examples, elapsed_s=state.elapsed_s)
        torch.set_rng_state(generators["cpu"])
        if "cuda" in generators and torch.cuda.is_available():
            torch.cuda.set_rng_state(generators["cuda"])
        return len(state.metrics)

    def delete(self) -> None:
        """Delete what was saved."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _read_generators() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies that share no memory, as safetensors wants: tied weights are two names of one tensor."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def _replace(temporary: Path, folder: Path) -> None:
    if folder.is_dir() and exchange_folders(temporary, folder):
        shutil.rmtree(temporary, ignore_errors=True)
        return
    # Without an exchange, a kill between these two leaves nothing, and the finetuning begins again.
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
