"""A checkpoint becomes visible only when complete, and a damaged one is never used."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertd.errors import CheckpointError, NewerCheckpointError, NumericsError, StorageError
from bertd.model.encoder import MaskedLanguageModel
from bertd.run.recipe.schema import OptimizerSection
from bertd.train.checkpoint import format
from bertd.train.checkpoint.format import (
    MANIFEST,
    MARKERS,
    MODEL,
    OPTIMIZER,
    STATE,
    CheckpointManifest,
    find_checkpoint,
    load_checkpoint,
    read_state,
    save_checkpoint,
    verify_checkpoint,
)
from bertd.train.checkpoint.staging import StagedTensors, StagingBuffers
from bertd.train.optim.optimizer import Optimizers, build_optimizers
from bertd.train.state import TrainState
from tests.model.test_encoder import batch
from tests.model.test_export import TINY


def state_at(step: int) -> TrainState:
    return TrainState(step=step, sequences=step * 4, charged_s=1.5, recipe_sha256="r", data_fingerprint="d")


def on_host(model: MaskedLanguageModel, optimizers: Optimizers) -> StagedTensors:
    tensors = StagingBuffers(torch.device("cpu")).stage(model=model.state_dict(), optimizer=optimizers.tensors())
    tensors.finish_copy()
    return tensors


def trained(steps: int = 2) -> tuple[MaskedLanguageModel, Optimizers]:
    model = MaskedLanguageModel(TINY, seed=1).eval()
    optimizers = build_optimizers(model, OptimizerSection())
    for _ in range(steps):
        optimizers.zero_grad()
        model(*batch()).backward()
        optimizers.combined.step()
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
        its_optimizers.combined.step()
    ours, theirs = model.state_dict(), other.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", [MODEL, OPTIMIZER, STATE, MANIFEST])
@pytest.mark.parametrize("damage", ["empty", "one byte", "half", "short", "long", "flipped", "gone"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(tmp_path: Path, name: str, damage: str) -> None:
    model, optimizers = trained()
    for step in (1, 2):
        save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(step))
    victim = tmp_path / "step-000000002" / name
    content = victim.read_bytes()
    if damage == "gone":
        victim.unlink()
    else:
        middle = len(content) // 2
        damaged = {
            "empty": b"",
            "one byte": content[:1],
            "half": content[:middle],
            "short": content[:-1],
            "long": content + b"x",
            "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        }
        victim.write_bytes(damaged[damage])

    found = find_checkpoint(tmp_path)

    assert found is not None
    assert found.folder.name == "step-000000001"
    assert len(found.skipped) == 1 and "step-000000002" in found.skipped[0]


@pytest.mark.parametrize("name", [MODEL, OPTIMIZER, STATE])
def test_no_flipped_bit_goes_unnoticed(tmp_path: Path, name: str) -> None:
    folder = save_checkpoint(tmp_path, tensors=on_host(*trained()), state=state_at(1))
    content = (folder / name).read_bytes()
    chooser = random.Random(5)
    offsets = [0, 7, 8, len(content) - 1, *(chooser.randrange(len(content)) for _ in range(46))]

    for offset in offsets:
        flipped = bytearray(content)
        flipped[offset] ^= 1 << chooser.randrange(8)
        (folder / name).write_bytes(flipped)
        with pytest.raises(CheckpointError, match=f"{name} was changed since it was written"):
            verify_checkpoint(folder)


class Killed(BaseException):
    """Not caught by any handler, so nothing is cleaned up, as after a kill."""


@pytest.mark.parametrize("failure", [Killed(), OSError(errno.EIO, "Input/output error")], ids=["kill", "EIO"])
def test_a_save_that_ends_at_any_flush_or_rename_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    tensors = on_host(*trained())
    save_checkpoint(tmp_path, tensors=tensors, state=state_at(1))
    num_points = 0
    while True:
        calls = Countdown(num_points, failure)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", calls.before(os.fsync))
            patch.setattr(Path, "rename", calls.before(Path.rename))
            try:
                save_checkpoint(tmp_path, tensors=tensors, state=state_at(2))
                break
            except (Killed, StorageError):
                num_points += 1
        found = find_checkpoint(tmp_path)
        assert found is not None and not found.skipped
        assert isinstance(failure, Killed) or not list(tmp_path.glob(".tmp-*"))
        # If the rename was done, the checkpoint is complete: remove it to reach the next point.
        shutil.rmtree(tmp_path / "step-000000002", ignore_errors=True)

    # Two files of tensors; state and manifest: file, rename, folder; the state once more; the rename; the parent.
    assert num_points == 2 + 2 * 3 + 1 + 1 + 1
    found = find_checkpoint(tmp_path)
    assert found is not None and found.folder.name == "step-000000002"


class Countdown:
    """Fails instead of the call after `left` others."""

    def __init__(self, left: int, failure: BaseException) -> None:
        self.left = left
        self.failure = failure

    def before(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object) -> object:
            self.left -= 1
            if self.left < 0:
                raise self.failure
            return call(*arguments)

        return counted


def test_a_damaged_checkpoint_is_replaced_by_a_save_of_its_step(tmp_path: Path) -> None:
    tensors = on_host(*trained())
    folder = save_checkpoint(tmp_path, tensors=tensors, state=state_at(1))
    (folder / MODEL).write_bytes(b"rotten")

    assert save_checkpoint(tmp_path, tensors=tensors, state=state_at(1)) == folder

    verify_checkpoint(folder)
    assert (tmp_path / "damaged-step-000000001" / MODEL).read_bytes() == b"rotten"


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    model, optimizers = trained()
    with torch.no_grad():
        model.head.bias[3] = torch.nan

    with pytest.raises(NumericsError, match=r"step 7: head.bias is not finite, so nothing was saved"):
        save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(7))

    assert not list(tmp_path.iterdir())


def test_when_every_checkpoint_is_damaged_nothing_starts_from_scratch(tmp_path: Path) -> None:
    model, optimizers = trained()
    (save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(1)) / MODEL).unlink()

    with pytest.raises(CheckpointError, match=r"no checkpoint is valid: step-000000001: model.safetensors is missing"):
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
    manifest = CheckpointManifest.model_validate_json((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(manifest.model_copy(update={"format": 99}).model_dump_json())

    with pytest.raises(CheckpointError, match="format 99; this bertd knows up to 1"):
        verify_checkpoint(folder)


def test_a_newer_checkpoint_is_not_skipped_for_an_older_one(tmp_path: Path) -> None:
    model, optimizers = trained()
    save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(1))
    folder = save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(2))
    manifest = CheckpointManifest.model_validate_json((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(manifest.model_copy(update={"format": 99}).model_dump_json())

    with pytest.raises(NewerCheckpointError):
        find_checkpoint(tmp_path)


def test_a_checkpoint_that_cannot_be_read_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizers = trained()
    for step in (1, 2):
        save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(step))
    digest = format._sha256

    def refuses(path: Path) -> str:
        if path.parent.name == "step-000000002":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return digest(path)

    monkeypatch.setattr(format, "_sha256", refuses)
    found = find_checkpoint(tmp_path)

    assert found is not None and found.folder.name == "step-000000001"
    assert found.skipped == ["step-000000002: model.safetensors cannot be read: Input/output error"]


def test_a_marker_that_comes_due_where_a_checkpoint_is_already_is_added_to_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, optimizers = trained()
    tensors = on_host(model, optimizers)
    early = state_at(2).model_copy(update={"markers": [0.1]})
    folder = save_checkpoint(tmp_path, tensors=tensors, state=early)
    assert save_checkpoint(tmp_path, tensors=tensors, state=early) == folder
    assert not (folder / MARKERS).exists()

    save_checkpoint(tmp_path, tensors=tensors, state=state_at(2).model_copy(update={"markers": [0.5]}))

    assert read_state(folder).markers == [0.1, 0.5]
    verify_checkpoint(folder)
    (folder / MARKERS).write_text("")
    assert read_state(folder).markers == [0.1]
    assert "step-000000002: markers.json is damaged; using state.json: [0.1]" in capfd.readouterr().out
    save_checkpoint(tmp_path, tensors=tensors, state=state_at(2).model_copy(update={"markers": [0.5]}))
    assert read_state(folder).markers == [0.1, 0.5]


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizers = trained()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bertd.train.checkpoint.format.save_file", no_space)
    with pytest.raises(StorageError, match="No space left"):
        save_checkpoint(tmp_path, tensors=on_host(model, optimizers), state=state_at(1))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o022, 0o077], ids=oct)
def test_whoever_may_read_a_checkpoints_state_may_read_its_weights(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder = save_checkpoint(tensors=on_host(*trained(1)), state=state_at(1), root=tmp_path / "checkpoints")
    finally:
        os.umask(before)
    assert {entry.stat().st_mode & 0o777 for entry in folder.iterdir()} == {0o640 & ~umask}
