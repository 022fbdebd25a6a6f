"""bertd.run.recipe.schema: a recipe is complete and in range, or one line says what to fix."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertd.errors import RecipeError
from bertd.records import BudgetUnit
from bertd.run.recipe import load as recipe_module
from bertd.run.recipe.load import (
    MAX_RECIPE_BYTES,
    find_recipe,
    format_recipe,
    parse_recipe,
    read_recipe,
    recipe_folders,
)
from bertd.run.recipe.schema import Recipe

SMALL = """
[run]
name = "small"
[budget]
hours = 2
[data]
shards = "/data/set"
[batch]
sequences = 32
micro = 16
[devices]
kind = "cpu"
count = 2
"""


def small(*overrides: str) -> Recipe:
    return parse_recipe(SMALL, name="small.toml", overrides=list(overrides))


# ---- What is accepted ------------------------------------------------------------------------------


def test_a_page_of_toml_is_a_recipe_and_what_it_leaves_out_is_24hberts() -> None:
    recipe = small()
    assert (recipe.run.name, recipe.budget.unit, recipe.budget.amount) == ("small", BudgetUnit.HOURS, 2.0)
    assert (recipe.optimizer.betas, recipe.optimizer.weight_decay) == ((0.9, 0.98), 0.01)
    assert (recipe.data.sequence_length, recipe.masking.rate, recipe.schedule.warmup) == (128, 0.15, 0.06)


def test_every_recipe_that_ships_is_whole() -> None:
    shipped = [file for folder in recipe_folders() for file in folder.glob("*.toml")]
    assert shipped
    for file in shipped:
        assert read_recipe(file).run.name == file.stem


def test_an_override_replaces_one_value_and_a_bare_word_is_a_string() -> None:
    recipe = small("optimizer.peak_lr=1e-3", "run.name=other", "masking.replace=[1, 0, 0]", "model.embedding_norm=true")
    assert recipe.optimizer.peak_lr == 1e-3
    assert recipe.run.name == "other"
    assert recipe.masking.replace == (1.0, 0.0, 0.0)
    assert recipe.model.embedding_norm is True


def test_the_last_of_two_overrides_of_a_key_wins() -> None:
    assert small("run.seed=1", "run.seed=2").run.seed == 2


def test_an_override_of_the_budget_replaces_the_files_unit() -> None:
    recipe = small("budget.steps=100")
    assert (recipe.granted.unit, recipe.granted.amount, recipe.granted.is_timed) == (BudgetUnit.STEPS, 100, False)


def test_a_ramp_says_how_large_a_step_is_and_how_many_are_left() -> None:
    batch = small("batch.sequences=128", "batch.ramp=[[0.1, 32], [0.5, 64]]").batch
    assert [batch.sequences_at(progress) for progress in (0.0, 0.0999, 0.1, 0.49, 0.5, 1.0)] == [
        32,
        32,
        64,
        64,
        128,
        128,
    ]
    assert batch.mean_sequences(0.0) == pytest.approx(0.1 * 32 + 0.4 * 64 + 0.5 * 128)
    assert batch.mean_sequences(0.3) == pytest.approx((0.2 * 64 + 0.5 * 128) / 0.7)
    assert batch.steps_per_sequence(0.0) == pytest.approx(0.1 / 32 + 0.4 / 64 + 0.5 / 128)
    assert (batch.mean_sequences(1.0), small().batch.steps_per_sequence(0.2)) == (128, 1 / 32)


def test_automatic_checkpoints_come_every_hundredth_of_a_budget_and_at_least_every_ten_minutes() -> None:
    assert small().checkpoint.interval_s(3600) == pytest.approx(36)
    assert small().checkpoint.interval_s(24 * 3600) == 600
    assert small().checkpoint.interval_s(None) == 600
    assert small("checkpoint.every=2 min").checkpoint.interval_s(3600) == 120


def test_predictions_fill_the_rate_up_to_their_bound() -> None:
    masking = small().masking
    assert [masking.predictions(length) for length in (8, 128, 512)] == [1, 19, 20]


# ---- What is refused, with place, value and remedy -------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.peek_lr=1", "[optimizer]: unknown key 'peek_lr'; did you mean peak_lr? known: kind, peak_lr"),
        ("optimiser.peak_lr=1", "unknown section 'optimiser'; did you mean optimizer? known: run, budget"),
        ("optimizer.peak_lr=fast", "[optimizer]: peak_lr = 'fast': give a number"),
        ("optimizer.peak_lr=-1", "[optimizer]: peak_lr = -1: give a number above 0"),
        ("optimizer.peak_lr=inf", "[optimizer]: peak_lr = inf: give a finite number"),
        ("optimizer.betas=[0.9, nan]", "[optimizer]: betas = nan: give a finite number"),
        ("run.seed=true", "[run]: seed = True: give a whole number"),
        ("run.seed=1.5", "[run]: seed = 1.5: give a whole number"),
        ("run.seed=99999999999999999999", "[run]: seed = 99999999999999999999: give a number below"),
        ("masking.rate=1.0", "[masking]: rate = 1.0: give a number below 1"),
        ("masking.replace=[0.8, 0.1, 0.2]", "sums to 1.1; make it 1"),
        ("masking.replace=[0.5, 0.5]", "[masking]: replace: value number 3 is missing; add it"),
        ("model.heads=3", "width = 1024 is not a multiple of heads = 3; change one"),
        ("model.norm=post", "set embedding_norm = true"),
        ("precision.mode=int4", "[precision]: mode = 'int4': give 'auto', 'bf16', 'fp16', 'fp32' or 'fp8'"),
        ("precision.fp8_products=all", 'fp8_products = "all" has no effect with mode = "auto"; use mode = "fp8"'),
        (
            "batch.sequences=33",
            "[batch] sequences = 33 would leave 31 of 64 rows empty: it is not a multiple of micro x devices.count = ",
        ),
        (
            "batch.ramp=[[0.1, 48]]",
            "[batch] ramp: a step of 48 would leave 16 of 64 rows empty: it is not a multiple",
        ),
        ("batch.ramp=[[0.2, 32], [0.1, 64]]", "[batch]: ramp: the shares of the budget are [0.2, 0.1]; let each be"),
        ("batch.ramp=[[1.0, 32]]", "[batch]: ramp = 1.0: give a number below 1"),
        ("batch.micro=best", "[batch]: micro = 'best': give a whole number, or 'auto'"),
        ("validation.every=soon", "'soon' is not a duration; write a number and s, min, h or d, such as 30min"),
        ("checkpoint.every=0s", "[checkpoint]: every = '0s': an interval must be longer than 0"),
        ('stop.rules=["give up"]', "'give up' is not a stop rule; write: after 3h loss > 6.0"),
        ("budget.hours=0", "[budget]: hours = 0: give a number above 0"),
        ("budget.hours=1e306", "[budget]: hours = 1e+306: give a number at most 1,000,000"),
        ("run.seed=" + "9" * 5000, "[run]: seed = '9999"),
        ("data.shards=", "[data]: shards = '': it is empty; give a text"),
    ],
)
def test_a_mistake_is_one_line_with_file_section_key_value_and_remedy(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        small(override)
    line = str(caught.value)
    assert message in line
    assert line.startswith("small.toml: ")
    assert "\n" not in line
    assert "pydantic" not in line


@pytest.mark.parametrize("override", ["lr", "lr=3", "optimizer.=3", ".peak_lr=3", "=", "optimizer.peak_lr"])
def test_an_override_of_another_form_says_how_it_is_written(override: str) -> None:
    with pytest.raises(RecipeError, match=r"write section\.key=value, such as optimizer\.peak_lr=1e-3"):
        small(override)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "-dash", "line\\nbreak", "x" * 65, "trailing\\n"])
def test_a_name_that_is_no_folder_name_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"\[run\]: name = "):
        small(f'run.name="{name}"')


def test_a_missing_section_and_a_missing_key_are_named() -> None:
    with pytest.raises(RecipeError, match=r"x\.toml: \[budget\]: the section is missing; add it"):
        parse_recipe('[run]\nname = "a"\n[data]\nshards = "d"', name="x.toml")
    with pytest.raises(RecipeError, match=r"x\.toml: \[run\]: key 'name' is missing; add it"):
        parse_recipe('[run]\n[budget]\nhours=1\n[data]\nshards="d"', name="x.toml")


def test_a_budget_has_exactly_one_unit() -> None:
    both = SMALL.replace("hours = 2", "hours = 2\nsteps = 5")
    with pytest.raises(RecipeError, match=r"\[budget\]: give exactly one of .*; given: hours, steps"):
        parse_recipe(both, name="x.toml")
    with pytest.raises(RecipeError, match=r"\[budget\]: give exactly one of .*; given: none"):
        parse_recipe(SMALL.replace("hours = 2", ""), name="x.toml")


def test_a_value_in_the_place_of_a_section_is_named() -> None:
    with pytest.raises(RecipeError, match=r"\[run\]: 3 is not a section; write \[run\] and its keys below it"):
        parse_recipe("run = 3", name="x.toml")
    with pytest.raises(RecipeError, match="run is not a section"):
        parse_recipe("run = 3", name="x.toml", overrides=["run.name=a"])


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(RecipeError, match=r"\[run\]: seed = -1.*; small\.toml: \[optimizer\]: unknown key 'x'"):
        small("optimizer.x=1", "run.seed=-1")


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(RecipeError) as caught:
        small(f"run.name={'x' * 10_000}")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    ["\x00", "[run", "a = ", "x = " + "[" * 50_000, "a" + ".a" * 5_000 + " = 1", "[a" + ".a" * 5_000 + "]"],
    ids=["NUL", "open bracket", "no value", "nested arrays", "dotted key", "dotted section"],
)
def test_text_that_is_no_recipe_is_refused_and_never_a_traceback(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^x\.toml: "):
        parse_recipe(text, name="x.toml")


def test_an_override_that_nests_too_deeply_is_refused() -> None:
    with pytest.raises(RecipeError, match="nested too deeply"):
        small("run.name=" + "[" * 50_000)


def test_a_name_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(RecipeError):
        small("run.name=\udcff")


def test_a_file_too_large_for_a_recipe_is_refused() -> None:
    with pytest.raises(RecipeError, match="larger than 256 KiB"):
        parse_recipe("#" * (MAX_RECIPE_BYTES + 1), name="x.toml")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'name = "\xe9"')
    for path in (tmp_path / "absent.toml", tmp_path, latin):
        with pytest.raises(RecipeError, match="cannot read the recipe"):
            read_recipe(path)


@settings(max_examples=200)
@given(st.text(max_size=200))
def test_any_text_is_a_recipe_or_a_recipe_error(text: str) -> None:
    try:
        parse_recipe(text, name="x.toml")
    except RecipeError as error:
        assert "\n" not in str(error)


@settings(max_examples=200)
@given(st.lists(st.text(max_size=40), max_size=3), st.sampled_from(["", "run.name=", "optimizer.peak_lr=", "data."]))
def test_any_override_is_taken_or_is_a_recipe_error(texts: list[str], prefix: str) -> None:
    try:
        recipe = small(*(prefix + text for text in texts))
    except RecipeError as error:
        assert str(error)
    else:
        assert parse_recipe(format_recipe(recipe), name="again") == recipe


# ---- Writing it back -------------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    seed=st.integers(0, 2**31 - 1),
    peak_lr=st.floats(min_value=1e-12, max_value=1e3),
    hours=st.floats(min_value=1e-6, max_value=1e5),
    beta=st.floats(min_value=0, max_value=1, exclude_max=True),
    shards=st.text(min_size=1, max_size=30),
)
def test_a_written_recipe_is_read_back_equal(seed: int, peak_lr: float, hours: float, beta: float, shards: str) -> None:
    tree = tomllib.loads(SMALL)
    tree["run"]["seed"] = seed
    tree["optimizer"] = {"peak_lr": peak_lr, "betas": (beta, 0.5)}
    tree["budget"]["hours"] = hours
    tree["data"]["shards"] = shards
    tree["stop"] = {"rules": ["after 3h loss > 6.0"]}
    recipe = Recipe.model_validate(tree)
    assert parse_recipe(format_recipe(recipe), name="recipe.toml") == recipe


def test_a_shipped_recipe_is_read_back_equal() -> None:
    recipe = read_recipe(find_recipe("demo"))
    assert parse_recipe(format_recipe(recipe), name="recipe.toml") == recipe


# ---- Finding it ------------------------------------------------------------------------------------


def test_a_recipe_is_found_by_path_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe("demo").name == "demo.toml"
    (tmp_path / "demo").write_text(SMALL)
    assert find_recipe("demo") == Path("demo")
    (tmp_path / "mine.toml").write_text(SMALL)
    assert find_recipe(str(tmp_path / "mine.toml")) == tmp_path / "mine.toml"


def test_a_folder_does_not_hide_the_recipe_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert find_recipe("demo").name == "demo.toml"


def test_an_unknown_recipe_is_refused_with_those_there_are() -> None:
    with pytest.raises(RecipeError, match=r"absent: no such file, nor a recipe of bertd; those are: .*demo"):
        find_recipe("absent")


def test_a_name_cannot_climb_out_of_the_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_module, "recipe_folders", lambda: [tmp_path / "recipes"])
    (tmp_path / "recipes").mkdir()
    (tmp_path / "secret.toml").write_text(SMALL)
    with pytest.raises(RecipeError, match="no such file"):
        find_recipe("../secret")


def test_a_name_too_long_for_the_disk_is_refused() -> None:
    with pytest.raises(RecipeError, match="cannot look for the recipe: File name too long"):
        find_recipe("x" * 5000)


def test_a_recipe_with_the_mark_of_utf_8_is_read_and_one_in_another_encoding_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(SMALL, encoding="utf-8-sig")
    assert read_recipe(path) == parse_recipe(SMALL, name="x.toml")
    path.write_text(SMALL, encoding="utf-16")
    with pytest.raises(RecipeError, match="x.toml: cannot read the recipe: it is not UTF-8; save it as UTF-8"):
        read_recipe(path)


def test_a_number_of_thousands_of_digits_is_no_toml() -> None:
    with pytest.raises(RecipeError, match="x.toml: not TOML: Exceeds the limit"):
        parse_recipe(SMALL.replace("hours = 2", "hours = " + "2" * 5000), name="x.toml")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("precision.deterministic=true", "product_search chooses by time, which deterministic does not allow"),
        ("precision.kernels=eager", 'product_search needs compiled kernels, not kernels = "eager"; change one'),
        ("precision.kernels=apex", 'product_search needs compiled kernels, not kernels = "apex"; change one'),
    ],
)
def test_a_search_for_products_does_not_go_with_what_forbids_it(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        parse_recipe(SMALL, name="r", overrides=["batch.micro=8", "precision.product_search=true", override])


def test_of_very_many_mistakes_the_first_are_named() -> None:
    text = "".join(f"[section{number}]\n" for number in range(5_000))
    with pytest.raises(RecipeError, match=r"unknown section 'section0'.*; and [\d,]+ more mistakes$") as caught:
        parse_recipe(text, name="long.toml")
    assert len(str(caught.value)) < 3_000


def test_of_the_many_recipes_of_runs_the_path_says_which_is_wrong(tmp_path: Path) -> None:
    recipe = tmp_path / "7-demo" / "recipe.toml"
    recipe.parent.mkdir()
    recipe.write_text("[budget]\nhours = 1")
    with pytest.raises(RecipeError, match=r"/7-demo/recipe\.toml: \[data\]: the section is missing"):
        read_recipe(recipe)
    mine = recipe.rename(tmp_path / "mine.toml")
    with pytest.raises(RecipeError, match=r"^mine\.toml: "):
        read_recipe(mine)


def test_the_least_memory_of_a_card_is_an_amount_and_of_gpus_alone() -> None:
    text = "[run]\nname = 'x'\n[budget]\nsteps = 1\n[data]\nshards = '/x'\n[devices]\n"
    recipe = parse_recipe(text + "memory = '24GiB'\n", name="x")
    assert recipe.devices.memory_bytes == 24 << 30
    assert parse_recipe(format_recipe(recipe), name="x") == recipe
    for wrong, words in (("memory = '24'", "give one such as 10GiB"), ("memory = '1GiB'\nkind = 'cpu'", "kind is cpu")):
        with pytest.raises(RecipeError, match=words):
            parse_recipe(f"{text}{wrong}\n", name="x")
