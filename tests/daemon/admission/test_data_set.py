"""A data set that no run can use is refused before the run exists."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bertd.daemon.admission.data_set import require_usable_data
from bertd.errors import RecipeError, ShardError
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe
from tests.run.data_sets import write_manifest


def recipe_for(shards: Path | str, *overrides: str) -> Recipe:
    text = f'[run]\nname = "x"\n[budget]\nhours = 1\n[data]\nshards = "{shards}"\n'
    return parse_recipe(text, name="x.toml", overrides=list(overrides))


def test_a_data_set_with_text_in_both_splits_is_admitted(tmp_path: Path) -> None:
    assert require_usable_data(recipe_for(write_manifest(tmp_path)), name="x.toml").vocab_size == 1000


@pytest.mark.parametrize(
    ("train", "validation", "overrides", "message"),
    [
        (100_000, 0, [], r"its validation split has no document; prepare it again with --validation above 0"),
        (100_000, 100, [], r"its validation split has 100 tokens, .* 128; set data.sequence_length = 103 or less, or"),
        (100_000, 200, ["data.sequence_length=512"], r"its validation split has 200 tokens"),
        (100, 10_000, [], r"its train split has 100 tokens, not enough for one sequence of 128"),
        (1, 10_000, ["data.sequence_length=8"], r"its train split has 1 token, not enough .* of 8; prepare more text"),
    ],
)
def test_a_split_without_a_sequence_is_refused(
    tmp_path: Path, train: int, validation: int, overrides: list[str], message: str
) -> None:
    write_manifest(tmp_path, train=train, validation=validation)
    with pytest.raises(ShardError, match=message):
        require_usable_data(recipe_for(tmp_path, *overrides), name="x.toml")


def test_whole_sentences_need_no_full_sequence(tmp_path: Path) -> None:
    write_manifest(tmp_path, validation=20)
    require_usable_data(recipe_for(tmp_path, "data.packing=sentences"), name="x.toml")


@pytest.mark.parametrize(
    "content", ["null", "{}", "[]", "[" * 100_000, '{"format": 1e999}', '{"format": 1}', "", "\xff", '{"format": null}']
)
def test_a_manifest_that_is_none_is_refused_with_a_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(ShardError, match=r"manifest.json: .*; prepare the data set again"):
        require_usable_data(recipe_for(tmp_path), name="x.toml")


def test_a_manifest_without_a_split_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path)
    tree = json.loads((tmp_path / "manifest.json").read_text())
    del tree["splits"]["validation"]
    (tmp_path / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(ShardError, match="splits: has no validation"):
        require_usable_data(recipe_for(tmp_path), name="x.toml")


def test_files_that_are_gone_or_of_another_size_are_named(tmp_path: Path) -> None:
    write_manifest(tmp_path)
    tree = json.loads((tmp_path / "manifest.json").read_text())
    names = ("train.tokens", "train.documents", "train.sentences")
    tree["files"] = {name: {"size": 8, "sha256": "0"} for name in names}
    (tmp_path / "manifest.json").write_text(json.dumps(tree))
    (tmp_path / "train.documents").write_bytes(b"1234567")
    os.mkfifo(tmp_path / "train.sentences")
    told = r"train.tokens cannot be read .*; train.documents has 7 bytes and not 8; train.sentences is not a file"
    with pytest.raises(ShardError, match=told):
        require_usable_data(recipe_for(tmp_path), name="x.toml")


def test_a_path_that_the_system_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for shards in (tmp_path / ("a" * 300), Path("/" + "a" * 10_000), tmp_path / "loop", Path("relative")):
        with pytest.raises(ShardError):
            require_usable_data(recipe_for(shards), name="x.toml")


def test_a_budget_of_less_than_a_step_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path)
    few = recipe_for(tmp_path, "budget.sequences=31", "batch.sequences=32", "batch.micro=4", "devices.count=1")
    with pytest.raises(RecipeError, match=r"sequences = 31: less than the first step of 32 sequences; give more, or"):
        require_usable_data(few, name="x.toml")
    ramped = recipe_for(
        tmp_path,
        *("budget.sequences=31", "batch.sequences=32", "batch.ramp=[[0.5, 8]]", "batch.micro=4", "devices.count=1"),
    )
    require_usable_data(ramped, name="x.toml")
