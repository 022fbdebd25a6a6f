"""A checkpoint is seen only when whole, and a damaged one never counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertd.errors import CheckpointError, StorageError
from bertd.model.encoder import MaskedLanguageModel
from bertd.run.recipe import OptimizerSection
from bertd.train.checkpoint import (
    MANIFEST,
    MODEL,
    OPTIMIZER,
    STATE,
    Manifest,
    TrainingState,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from bertd.train.host_copy import HostCopy, HostTensors
from bertd.train.optimizer import Optimizers, build_optimizers
from tests.model.test_encoder import batch
from tests.model.test_export import TINY


def state_at(step: int) -> TrainingState:
    return TrainingState(step=step, sequences=step * 4, charged_s=1.5, recipe_sha256="r", data_fingerprint="d")


def on_host(model: MaskedLanguageModel, optimizers: Optimizers) -> HostTensors:
    return HostCopy(torch.device("cpu")).take(model=model.state_dict(), optimizer=optimizers.tensors())


def trained(steps: int = 2) -> tuple[MaskedLanguageModel, Optimizers]:
    model = MaskedLanguageModel(TINY, seed=1).eval()
    optimizers = build_optimizers(model, OptimizerSection())
    for _ in range(steps):
        optimizers.zero_grad()
        model(*batch()).backward()
        for part in optimizers.parts:
            part.step()
    return model, optimizers


def test_a_loaded_checkpoint_trains_on_bit_for_bit(tmp_path: Path) -> None:
    model, optimizers = trained()
    folder = save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(2))
    other = MaskedLanguageModel(TINY, seed=7).eval()
    other_optimizers = build_optimizers(other, OptimizerSection())

    assert load_checkpoint(folder, model=other, optimizers=other_optimizers) == state_at(2)

    for each, its_optimizers in ((model, optimizers), (other, other_optimizers)):
        its_optimizers.zero_grad()
        each(*batch()).backward()
        for part in its_optimizers.parts:
            part.step()
    ours, theirs = model.state_dict(), other.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", [MODEL, OPTIMIZER, STATE, MANIFEST])
@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "gone"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, name: str, damage: str) -> None:
    model, optimizers = trained()
    for step in (1, 2):
        save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(step))
    victim = tmp_path / "step-000000002" / name
    content = victim.read_bytes()
    if damage == "gone":
        victim.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        victim.write_bytes({"empty": b"", "short": content[:-1], "flipped": flipped}[damage])

    found = find_checkpoint(tmp_path)

    assert found is not None
    assert found.folder.name == "step-000000001"
    assert len(found.skipped) == 1 and "step-000000002" in found.skipped[0]


def test_when_every_checkpoint_is_damaged_nothing_starts_from_scratch(tmp_path: Path) -> None:
    model, optimizers = trained()
    (save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(1)) / MODEL).unlink()

    with pytest.raises(CheckpointError, match=r"no checkpoint is whole: step-000000001: model.safetensors is missing"):
        find_checkpoint(tmp_path)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    model, optimizers = trained()
    folder = save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(1))
    wider = MaskedLanguageModel(replace(TINY, width=64), seed=1)

    with pytest.raises(CheckpointError, match="does not fit this recipe's model"):
        load_checkpoint(folder, model=wider, optimizers=build_optimizers(wider, OptimizerSection()))


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    model, optimizers = trained()
    folder = save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(1))
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(manifest.model_copy(update={"format": 99}).model_dump_json())

    with pytest.raises(CheckpointError, match="format 99; this bertd knows up to 1"):
        verify_checkpoint(folder)


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizers = trained()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bertd.train.checkpoint.save_file", no_space)
    with pytest.raises(StorageError, match="No space left"):
        save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(1))

    assert list(tmp_path.iterdir()) == []
