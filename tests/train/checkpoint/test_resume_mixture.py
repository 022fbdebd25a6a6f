"""A run on several data sets resumes bit for bit, and does not continue on other weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertd.data.dataset.mixture import DataMixture
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.errors import CheckpointError
from bertd.run.paths import newest_first
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.mixture_text import format_weights
from bertd.train.checkpoint.format import read_state
from bertd.train.checkpoint.model_card import model_card
from tests.train.checkpoint.test_resume import EPOCHS, assert_equal_ends
from tests.train.interruptions import Way, interrupt
from tests.train.loop.test_trainer import make_run, run_to_end


@pytest.fixture
def second(tmp_path: Path, dataset: Path) -> Path:
    """A data set of a part of the corpus, with the same tokenizer."""
    lines = (dataset.parent / "corpus.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "part.jsonl").write_text("".join(lines[:60]))
    options = PrepareOptions(vocab=str(dataset / "tokenizer"), validation_share=0.2)
    prepare([f"jsonl:{tmp_path / 'part.jsonl'}"], out=tmp_path / "second", options=options, processes=1)
    return tmp_path / "second"


@pytest.mark.parametrize("way", [Way.PAUSE, Way.KILL])
def test_a_run_on_a_mixture_resumes_bit_for_bit(
    tmp_path: Path, dataset: Path, second: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another number of threads would sum in another order.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    mixed = f"data.shards={format_weights({str(dataset): 3, str(second): 2})}"
    whole = make_run(tmp_path / "whole", dataset, *EPOCHS, mixed)
    run_to_end(whole)
    resumed = make_run(tmp_path / "resumed", dataset, *EPOCHS, mixed)
    interrupt(resumed, at=3, way=way)
    run_to_end(resumed, number=2)
    assert_equal_ends(whole, resumed)


def test_another_weight_is_other_data(tmp_path: Path, dataset: Path, second: Path) -> None:
    weights = {str(dataset): 3, str(second): 2}
    paths = make_run(tmp_path / "run", dataset, *EPOCHS, f"data.shards={format_weights(weights)}")
    interrupt(paths, at=2, way=Way.PAUSE)
    (checkpoint,) = newest_first(paths.checkpoints)
    state = read_state(checkpoint)
    mixture = DataMixture.open(weights)
    assert state.data_fingerprint == mixture.fingerprint

    text = paths.recipe.read_text()
    assert f'"{second}" = 2' in text
    paths.recipe.write_text(text.replace(f'"{second}" = 2', f'"{second}" = 1'))
    with pytest.raises(CheckpointError, match="another recipe|other data"):
        run_to_end(paths, number=2)

    card = model_card(parse_recipe(text, name="x"), state, mixture.manifest, mask_token="[MASK]", charged_s=1.0)
    assert "[data.shards]\ndataset = 3\nsecond = 2\n" in card and str(tmp_path) not in card
    assert "- `jsonl:corpus.jsonl`" in card and "- `jsonl:part.jsonl`" in card
