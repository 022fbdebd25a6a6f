"""bertd export: any kept checkpoint gives the export that a run would write at that step."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from threading import Event

import pytest
import torch
from safetensors.torch import load_file

from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.errors import CheckpointError, OutputExistsError, RunFolderError
from bertd.model.try_export import fill_mask
from bertd.records import BudgetRequest, BudgetUnit, CommandKind
from bertd.run.checkpoint_index import find_checkpoint_at_marker
from bertd.run.data_mixture import mix_manifests
from bertd.run.dataset_manifest import read_manifest
from bertd.run.mailbox import post
from bertd.run.paths import RunPaths, newest_first
from bertd.run.recipe.load import parse_recipe
from bertd.train.checkpoint import export_checkpoint as command
from bertd.train.checkpoint.export_checkpoint import export_run
from bertd.train.checkpoint.model_card import model_card
from bertd.train.run_inputs import load_run_inputs
from bertd.train.state import TrainState
from tests.tokenizers_as_published import roberta_like
from tests.train.loop.test_trainer import TEXT, attempt, make_run, run_to_end


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> RunPaths:
    """A run of twelve steps that was paused at the fifth."""
    paths = make_run(tmp_path_factory.mktemp("runs") / "run", dataset)
    stop_signal = Event()
    with attempt(paths, stop_signal=stop_signal) as trainer:
        while trainer.state.step < 5:
            trainer.execute_next_plan()
        stop_signal.set()
        trainer.run()
    run_to_end(paths, number=2)
    return paths


def test_the_newest_checkpoint_gives_the_export_of_the_runs_end(ended: RunPaths, tmp_path: Path) -> None:
    result = export_run(ended, step=None, out=tmp_path / "mine")

    theirs = newest_first(ended.exports)[0]
    assert (result.folder, result.architecture, result.skipped) == (tmp_path / "mine", "MegatronBertForMaskedLM", [])
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (result.folder / file).read_bytes() == (theirs / file).read_bytes()
    card = (result.folder / "README.md").read_text()
    assert "| Steps, sequences | 12, 96 of 32 tokens |" in card
    assert re.search(r"^\| Training loss \| \d\.\d{4} nats \(running mean\) \|$", card, re.MULTILINE)
    assert re.search(r"^\| Validation loss \| \d\.\d{4} nats ", card, re.MULTILINE)
    run_inputs = load_run_inputs(ended)
    assert f"| Data fingerprint | `{run_inputs.dataset.fingerprint}` |" in card
    assert f"| Recipe sha256 | `{run_inputs.recipe_sha256}` |" in card


def test_a_step_gives_that_steps_weights_among_the_runs_exports(ended: RunPaths) -> None:
    result = export_run(ended, step=5, out=None)

    assert result.folder == ended.exports / "step-000000005"
    ours = load_file(result.folder / "model.safetensors")["cls.predictions.transform.dense.weight"]
    saved = load_file(ended.checkpoints / "step-000000005" / "model.safetensors")["head.dense.weight"]
    assert torch.equal(ours, saved)


def test_the_card_has_the_budget_that_the_run_had_when_the_checkpoint_was_saved(tmp_path: Path, dataset: Path) -> None:
    paths, stop_signal = make_run(tmp_path / "run", dataset), Event()
    with attempt(paths, stop_signal=stop_signal) as trainer:
        while trainer.state.step < 5:
            trainer.execute_next_plan()
        stop_signal.set()
        trainer.run()
    budget = BudgetRequest(unit=BudgetUnit.STEPS, amount=16)
    post(paths.control, verb=CommandKind.BUDGET, asked_by="uid 0", now=0.0, budget=budget)
    run_to_end(paths, number=2)

    for step, amount in ((5, 12), (16, 16)):
        card = (export_run(paths, step=step, out=tmp_path / f"{step}").folder / "README.md").read_text()
        assert f"| Budget | {amount} steps; charged" in card and f"[budget]\nsteps = {amount}\n" in card
    assert "| Budget | 16 steps; charged" in (newest_first(paths.exports)[0] / "README.md").read_text()


def test_the_card_names_the_data_and_no_folder_of_this_machine(ended: RunPaths, tmp_path: Path, dataset: Path) -> None:
    theirs = (newest_first(ended.exports)[0] / "README.md").read_text()
    mine = (export_run(ended, step=None, out=tmp_path / "mine").folder / "README.md").read_text()

    for card in (theirs, mine):
        assert re.search(r"^\| Data to train on \| 3\d\d documents, \d\d,\d{3} tokens \|$", card, re.MULTILINE)
        assert re.search(r"^\| Data to validate with \| \d\d documents, \d,\d{3} tokens \|$", card, re.MULTILINE)
        assert re.search(r"^- `jsonl:corpus.jsonl`: 400 documents, \d\d,\d{3} tokens$", card, re.MULTILINE)
        assert f'shards = "{dataset.name}"' in card
        assert str(dataset.parent) not in card and '"/' not in card


def test_the_card_leaves_a_name_of_the_hub_and_takes_the_folder_off_a_path(dataset: Path) -> None:
    state = TrainState(step=1, sequences=8, charged_s=1.0, recipe_sha256="r", data_fingerprint="d")
    manifest = read_manifest(dataset)
    (source,) = manifest.sources
    named = {"hf": "org/set:en", "text": "~/books/a`b|c"}
    sources = [source.model_copy(update={"kind": kind, "path": path}) for kind, path in named.items()]
    for start_from, expected in (("org/model", "org/model"), ("/home/me/model", "model")):
        text = TEXT.format(shards=dataset)
        recipe = parse_recipe(text, name="x", overrides=[f"model.start_from={start_from}"])
        card = model_card(
            recipe,
            state,
            mix_manifests({dataset: (1, manifest.model_copy(update={"sources": sources}))}),
            mask_token="[MASK]",
            charged_s=1.0,
        )
        assert f'start_from = "{expected}"' in card
        assert "- `hf:org/set:en`: 400 documents" in card and "- `text:a'b|c`: 400 documents" in card


def test_a_run_on_a_byte_level_vocabulary_is_exported_with_its_special_tokens(tmp_path: Path, dataset: Path) -> None:
    roberta_like().save(str(tmp_path / "tokenizer.json"))
    options = PrepareOptions(vocab=str(tmp_path / "tokenizer.json"), validation_share=0.2)
    prepare([str(dataset.parent / "corpus.jsonl")], out=tmp_path / "set", options=options, processes=1)
    overrides = ("model.embedding_norm=true", "model.activation=gelu", "data.packing=sentences", "masking.unit=word")
    paths = make_run(tmp_path / "run", tmp_path / "set", *overrides)
    run_to_end(paths)

    theirs = newest_first(paths.exports)[0]
    result = export_run(paths, step=None, out=tmp_path / "mine")

    assert result.architecture == "RobertaPreLayerNormForMaskedLM"
    for folder in (theirs, result.folder):
        assert json.loads((folder / "config.json").read_text())["pad_token_id"] == 1
        assert '("A sentence with one <mask>.")' in (folder / "README.md").read_text()
        assert len(fill_mask(folder, "The model <mask> a layer.")) == 2


def test_a_marker_names_the_checkpoint_that_was_kept_for_it(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset, "checkpoint.markers=[0.5]")
    run_to_end(paths)

    assert find_checkpoint_at_marker(paths, 0.5, name="a run").step == 6
    with pytest.raises(CheckpointError, match=r"^a run: has not passed a marker 0\.25; .* passed: 0\.5; .*RUN@STEP"):
        find_checkpoint_at_marker(paths, 0.25, name="a run")


def test_a_run_without_markers_says_what_sets_them(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"marker 0\.5, nor any other; checkpoint\.markers of its recipe sets them"
    ):
        find_checkpoint_at_marker(paths, 0.5, name="a run")


def test_what_cannot_be_exported_is_refused_in_a_line(ended: RunPaths, tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match=r"step-000000012: exists already; give another with --out"):
        export_run(ended, step=None, out=None)
    with pytest.raises(CheckpointError, match=r"has no checkpoint of step 7; kept are: 12, 5"):
        export_run(ended, step=7, out=tmp_path / "out")
    with pytest.raises(RunFolderError, match=r"nowhere: not a run"):
        export_run(RunPaths(tmp_path / "nowhere"), step=None, out=None)
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_skipped_or_refused_by_name(ended: RunPaths, tmp_path: Path) -> None:
    copy = RunPaths(tmp_path / "copy")
    shutil.copytree(ended.root, copy.root)
    with (copy.checkpoints / "step-000000012" / "model.safetensors").open("r+b") as file:
        file.seek(2000)
        file.write(b"\xff")

    result = export_run(copy, step=None, out=tmp_path / "older")

    assert "| Steps, sequences | 5, 40 of 32 tokens |" in (result.folder / "README.md").read_text()
    assert result.skipped == ["step-000000012: model.safetensors was changed since it was written"]
    with pytest.raises(CheckpointError, match="was changed since it was written"):
        export_run(copy, step=12, out=tmp_path / "newer")


def test_the_command_says_where_the_export_is_or_what_is_wrong(
    ended: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(ended.root), "--out", str(tmp_path / "mine")]
    monkeypatch.setattr(sys, "argv", arguments)

    assert [command.main(), command.main()] == [0, OutputExistsError.exit_code]

    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'mine'} loads as MegatronBertForMaskedLM\n"
    assert said.err.startswith(f"bertd: {tmp_path / 'mine'}: exists already")
