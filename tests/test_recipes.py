"""The recipes that ship have the numbers of their sources: Izsak, Berchansky, Levy, EMNLP 2021, and its old code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.model.memory import micro_batch_bytes, process_bytes, sequence_bytes, state_bytes
from bertd.run.recipe.load import find_recipe, read_recipe, recipe_folders
from bertd.run.recipe.schema import Recipe
from bertd.train.run_inputs import encoder_config

BASE = (12, 768, 12, 3072)
LARGE = (24, 1024, 16, 4096)
DEVICES = {  # GPUs, micro-batch; table 6 where it has the card, but half of it on the Titan-V
    "titan-v-8": (8, 16),
    "rtx3090-1": (1, 64),
    "rtx3090-4": (4, 64),
    "a100-1": (1, 128),
    "a100-4": (4, 128),
    "h200-1": (1, 512),
    "h200-8": (8, 512),
}
FAST = ("fast", "fast-fp8")
CARD_GB = {"titan-v": 12, "rtx3090": 24, "a100": 40, "h200": 141}


def shipped(name: str) -> Recipe:
    return read_recipe(find_recipe(name))


def shape(recipe: Recipe) -> tuple[int, int, int, int]:
    model = recipe.model
    return (model.layers, model.width, model.heads, model.ffn)


def changes(name: str) -> dict[str, object]:
    """Every `section.key` of a recipe that differs from 24hbert, except its name."""
    ours, theirs = shipped(name).model_dump(), shipped("24hbert").model_dump()
    different = {
        f"{section}.{key}": value
        for section, keys in ours.items()
        for key, value in keys.items()
        if value != theirs[section][key]
    }
    assert different.pop("run.name") == name
    return different


def test_24hbert_is_search_1_of_table_3() -> None:
    recipe = shipped("24hbert")
    assert shape(recipe) == LARGE
    assert (recipe.budget.hours, recipe.data.sequence_length, recipe.data.packing) == (24, 128, "sentences")
    assert (recipe.batch.sequences, recipe.batch.micro, recipe.devices.count) == (4096, 32, 8)
    assert recipe.batch.ramp == []
    optimizer = recipe.optimizer
    assert (optimizer.kind, optimizer.peak_lr, optimizer.betas) == ("adamw", 2e-3, (0.9, 0.98))
    assert (optimizer.eps, optimizer.weight_decay, optimizer.clip) == (1e-6, 0.01, 0.0)
    assert (recipe.schedule.curve, recipe.schedule.warmup, recipe.schedule.end) == ("linear", 0.06, 0.0)
    model = recipe.model
    assert (model.norm, model.embedding_norm, model.activation) == ("pre", False, "gelu")
    assert (model.positions, model.bias, model.dropout, model.attention_dropout) == ("learned", True, 0.1, 0.1)
    assert (model.depth_scaled_init, model.head_bias, model.start_from) == (False, "zero", None)
    assert recipe.precision.mode == "auto"
    masking = recipe.masking
    assert (masking.rate, masking.max_predictions, masking.replace) == (0.15, 20, (0.8, 0.1, 0.1))
    assert (masking.copies, masking.unit) == (10, "token")
    validation = recipe.validation
    assert (validation.every, validation.early_every, validation.early_until) == ("30min", "10min", 0.05)
    assert recipe.stop.rules == ["after 3h loss > 6.0"]


def test_search_3_differs_in_the_rate_alone() -> None:
    assert changes("24hbert-lr1e-3") == {"optimizer.peak_lr": 1e-3}


@pytest.mark.parametrize(("name", "model", "days"), [("bert-base", BASE, 3.0), ("bert-large", LARGE, 8.3)])
def test_the_baselines_are_those_of_table_3(name: str, model: tuple[int, ...], days: float) -> None:
    recipe = shipped(f"{name}-default")
    assert shape(recipe) == model
    assert recipe.budget.hours == pytest.approx(days * 24)
    assert (recipe.batch.sequences, recipe.optimizer.peak_lr, recipe.schedule.warmup) == (256, 1e-4, 0.111)
    assert {key.partition(".")[0] for key in changes(f"{name}-default")} <= {
        "budget",
        "model",
        "optimizer",
        "schedule",
        "batch",
        "stop",
    }


@pytest.mark.parametrize("name", ["bert-base-default", "bert-large-default"])
def test_the_baselines_stop_where_the_paper_reads_their_loss(name: str) -> None:
    (rule,) = shipped(name).stop.parse_rules()
    day_s = 24 * 3600.0
    assert rule.is_met(charged_s=day_s, validation_loss=2.05)
    assert not rule.is_met(charged_s=day_s - 1, validation_loss=2.05)


def test_bert_base_in_24_hours_differs_in_the_model_alone() -> None:
    layers, width, heads, ffn = BASE
    expected = {"model.layers": layers, "model.width": width, "model.heads": heads, "model.ffn": ffn}
    assert changes("bert-base-24h") == expected


def test_fast_changes_what_saves_time_or_won_at_equal_time_and_nothing_else() -> None:
    saves_time = {
        "data.packing": "full",
        "model.dropout": 0.0,
        "model.attention_dropout": 0.0,
        "batch.micro": "auto",
    }
    won = {
        "masking.rate": 0.3,
        "masking.max_predictions": 38,
        "model.head_bias": "frequency",
        "optimizer.kind": "muon",
    }
    assert changes("fast") == saves_time | won


def test_fast_fp8_is_fast_in_other_formats() -> None:
    formats = {"precision.mode": "fp8", "precision.fp8_products": "all", "precision.residual": "bf16"}
    assert changes("fast-fp8") == changes("fast") | formats


@pytest.mark.parametrize("name", DEVICES)
def test_a_preset_differs_in_the_device_keys_alone(name: str) -> None:
    recipe = shipped(name)
    assert (recipe.devices.count, recipe.batch.micro) == DEVICES[name]
    assert changes(name).keys() <= {"devices.count", "batch.micro"}
    assert recipe.batch.sequences == 4096


@pytest.mark.parametrize("name", DEVICES)
def test_a_presets_micro_batch_fits_its_card(name: str, kept_bytes_of_a_layer: int) -> None:
    recipe = shipped(name)
    # Weights, gradients and two moments in fp32, the weights once more in 16 bits.
    states = 18 * 336e6
    assert recipe.batch.micro != "auto"
    process = process_bytes(num_ranks=recipe.devices.count)
    needed = states + recipe.batch.micro * recipe.model.layers * kept_bytes_of_a_layer + process
    assert needed < 0.9 * CARD_GB[name.rpartition("-")[0]] * 2**30


@pytest.mark.parametrize("name", DEVICES)
def test_a_preset_fits_by_the_memory_model_with_all_that_it_counts(name: str) -> None:
    assert needed_gib(name, shipped(name).batch.micro) < 0.9 * CARD_GB[name.rpartition("-")[0]]


def test_the_titan_v_preset_says_what_the_memory_model_says() -> None:
    text = find_recipe("titan-v-8").read_text()
    assert f"16 takes {needed_gib('titan-v-8', 16):.1f} GiB" in text
    assert f"32 would take {needed_gib('titan-v-8', 32):.1f}" in text


def needed_gib(name: str, micro: int | str) -> float:
    """In 16 bits, of one rank."""
    recipe = shipped(name)
    assert isinstance(micro, int)
    config = encoder_config(recipe, vocab_size=30_522)
    predictions = recipe.masking.predictions(128)
    each = sequence_bytes(config, length=128, predictions=predictions, element_bytes=2, is_padded=True)
    states = state_bytes(config, has_one_moment=False, element_bytes=2)
    passes = micro_batch_bytes(config, sequences=micro, each_bytes=each)
    return (states + passes + process_bytes(num_ranks=recipe.devices.count)) / 2**30


@pytest.fixture(scope="module")
def kept_bytes_of_a_layer() -> int:
    """Bytes that autograd keeps for one sequence of 128 in one layer of BERT-large under bf16, not compiled.

    Two layers minus one, each for two sequences minus one: weights and constant parts cancel out.
    """

    def kept(layers: int, num_sequences: int) -> int:
        config = EncoderConfig(
            vocab_size=64,
            max_positions=128,
            layers=layers,
            width=1024,
            heads=16,
            ffn=4096,
            norm="pre",
            embedding_norm=False,
            activation="gelu",
            positions="learned",
            bias=True,
            dropout=0.1,
            attention_dropout=0.0,  # on CPU attention with dropout keeps its scores; no GPU kernel of torch does
        )
        model = MaskedLanguageModel(config, seed=1)
        storages: dict[int, tuple[int, Tensor]] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = (storage.nbytes(), tensor)
            return tensor

        ids_BS = torch.zeros(num_sequences, 128, dtype=torch.int64)
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", dtype=torch.bfloat16):
            model(ids_BS, ids_BS[:, :20], ids_BS[:, :20])
        return sum(size for size, _ in storages.values())

    def of_a_sequence(layers: int) -> int:
        return kept(layers, 2) - kept(layers, 1)

    return of_a_sequence(2) - of_a_sequence(1)


def test_every_recipe_that_ships_is_tested_here() -> None:
    tested = {"24hbert", "24hbert-lr1e-3", "bert-base-default", "bert-large-default", "bert-base-24h", *FAST, *DEVICES}
    elsewhere = {"demo"}  # no paper's numbers; tests/end_to_end runs it
    assert {path.stem for folder in recipe_folders() for path in folder.glob("*.toml")} == tested | elsewhere
