"""What a run cannot start from is refused by a look at it, and nothing of it is opened that could block."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bertd.daemon.admission.start_from import require_usable_start
from bertd.errors import CheckpointError
from bertd.run.recipe.load import parse_recipe


def admit(start_from: str, *, vocab_size: int = 100) -> None:
    text = '[run]\nname = "x"\n[budget]\nhours = 1\n[data]\nshards = "/s"\n[model]\nlayers = 2\nwidth = 32\nheads = 2\n'
    override = f"model.start_from={json.dumps(start_from)}"
    recipe = parse_recipe(text + "ffn = 64\n", name="x.toml", overrides=[override])
    require_usable_start(recipe, name="x.toml", vocab_size=vocab_size)


def write_model(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    config = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").touch()
    return folder


def test_a_folder_or_a_name_on_the_hub_is_admitted(tmp_path: Path) -> None:
    admit(str(write_model(tmp_path / "exact")))
    admit(str(write_model(tmp_path / "padded", vocab_size=128)))
    admit("google-bert/bert-base-uncased")
    admit("bert-base-uncased")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pipe", "a pipe, and not a folder"),
        ("file", "a file, and not a folder"),
        ("absent", "nothing, and not a folder"),
        ("loop", "cannot be read by the daemon"),
        ("a" * 300, "cannot be read by the daemon: File name too long"),
        ("empty", "has no model.safetensors or pytorch_model.bin"),
    ],
)
def test_what_is_no_folder_of_a_model_is_refused(tmp_path: Path, name: str, told: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=told):
        admit(str(tmp_path / name))


@pytest.mark.parametrize("source", ["/dev/zero", "http://evil/x", "../x", "a/b/c", "~/x", "\x1b]0;x", "-x", "x" * 5000])
def test_what_is_neither_a_folder_nor_a_name_is_refused(source: str) -> None:
    with pytest.raises(CheckpointError, match=r"x.toml: \[model\] start_from = ") as raised:
        admit(source)
    assert len(str(raised.value)) < 600


def test_a_configuration_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    for content in ("[" * 100_000, "null", "x", "{" + " " * (1 << 20) + "}"):
        (folder / "config.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"config.json is "):
            admit(str(folder))
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    with pytest.raises(CheckpointError, match=r"config.json is a pipe"):
        admit(str(folder))


def test_another_vocabulary_or_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="its vocabulary has 99 entries and the shards' 100"):
        admit(str(write_model(tmp_path / "small", vocab_size=99)))
    with pytest.raises(CheckpointError, match=r"write layers = 12 in \[model\]"):
        admit(str(write_model(tmp_path / "deep", num_hidden_layers=12)))
