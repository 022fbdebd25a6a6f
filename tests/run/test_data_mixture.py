"""The data sets of a recipe: their weights, what cannot be mixed, and how a recipe writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertd.errors import RecipeError, ShardError
from bertd.records import SweepSpec
from bertd.run.data_mixture import read_mixture
from bertd.run.dataset_manifest import MANIFEST_FILE
from bertd.run.recipe.load import find_recipe, format_recipe, parse_recipe, read_recipe
from bertd.run.recipe.mixture_text import find_data_sets
from bertd.run.recipe.named_recipe import resolve_named_recipe
from bertd.run.recipe.sweep_grid import expand_settings
from tests.run.data_sets import write_manifest

RECIPE = '[run]\nname = "x"\n[budget]\nsteps = 5\n[data]\nshards = {wiki = 30, "/data/my set" = 10}\n'


def test_a_table_of_weights_is_read_and_written_back_equal() -> None:
    recipe = parse_recipe(RECIPE, name="x.toml")
    assert recipe.data.weights == {"wiki": 30, "/data/my set": 10}
    assert parse_recipe(format_recipe(recipe), name="again") == recipe
    assert recipe.data.shards_text == '{"wiki" = 30, "/data/my set" = 10}'


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ("{wiki = 0}", "shards.wiki = 0: give a number at least 1"),
        ("{wiki = 1.5}", "shards.wiki = 1.5: give a whole number"),
        ("{wiki = 20000}", "shards.wiki = 20000: give a number at most 10,000"),
        ("{}", "shards = {}: give at least 1 of them"),
    ],
)
def test_a_wrong_weight_is_named(shards: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(RECIPE, name="x.toml", overrides=[f"data.shards={shards}"])
    assert message in str(caught.value)


def test_a_mixture_has_the_shares_of_its_weights(tmp_path: Path) -> None:
    wiki = write_manifest(tmp_path / "wiki", train=100_000)
    books = write_manifest(tmp_path / "books", train=20_000)
    mixture = read_mixture({str(wiki): 30, str(books): 10})
    assert {member.root.name: member.weight for member in mixture.members} == {"wiki": 3, "books": 1}
    assert sorted(mixture.lines(sequence_length=102, packing="full", sequences=8080)) == [
        "25.0% of books (202 sequences, 10.00 epochs)",
        "75.0% of wiki (1,010 sequences, 6.00 epochs)",
    ]
    assert mixture.count_sequences("train", sequence_length=102, packing="full") == 1212
    assert mixture.fingerprint == read_mixture({str(books): 1, str(wiki): 3}).fingerprint
    assert mixture.fingerprint != read_mixture({str(books): 1, str(wiki): 2}).fingerprint
    assert read_mixture({str(wiki): 7}).fingerprint == mixture_member(wiki)


def mixture_member(root: Path) -> str:
    return read_mixture({str(root): 1}).members[0].manifest.fingerprint


def test_sets_of_two_tokenizers_and_the_same_set_twice_are_refused(tmp_path: Path) -> None:
    wiki, books = write_manifest(tmp_path / "wiki"), write_manifest(tmp_path / "books", train=5)
    other = json.loads((books / MANIFEST_FILE).read_text())
    other["tokenizer"]["fingerprint"] = "another"
    (books / MANIFEST_FILE).write_text(json.dumps(other))
    with pytest.raises(ShardError, match=rf"{books}: has another tokenizer than {wiki}.*--vocab {wiki}/tokenizer"):
        read_mixture({str(wiki): 1, str(books): 1})
    copy = write_manifest(tmp_path / "copy")
    with pytest.raises(ShardError, match=f"{copy}: holds the same as {wiki}"):
        read_mixture({str(wiki): 1, str(copy): 1})


def test_names_are_resolved_and_two_names_of_one_set_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wiki, books = write_manifest(tmp_path / "wiki"), write_manifest(tmp_path / "books", train=5)
    resolved = resolve_named_recipe("demo", ["data.shards={wiki = 3, books = 1}"])
    assert resolved.recipe.data.weights == {str(wiki): 3, str(books): 1}
    with pytest.raises(ShardError, match="'./wiki' is .*wiki, which another one is, too"):
        find_data_sets({"wiki": 1, "./wiki": 2})
    with pytest.raises(ShardError, match="nowhere"):
        resolve_named_recipe("demo", ["data.shards={wiki = 3, nowhere = 1}"])


def test_a_sweep_may_try_mixtures() -> None:
    spec = SweepSpec.model_validate(
        {
            "name": "mix",
            "end_s": 1.0,
            "grid": {"data.shards": [{"wiki": 3, "/my books": 1}, {"wiki": 1, "/my books": 1}, "wiki"]},
        }
    )
    path = find_recipe("demo")
    settings = expand_settings(spec, recipe_toml=path.read_text(), recipe_name=path.name, name="mix.toml")
    assert [setting.recipe.data.weights for setting in settings] == [
        {"wiki": 3, "/my books": 1},
        {"wiki": 1, "/my books": 1},
        {"wiki": 1},
    ]
    assert read_recipe(path, overrides=['data.shards="wiki"']).data.shards == "wiki"
