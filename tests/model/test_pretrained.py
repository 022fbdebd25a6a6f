"""A run starts from a stock checkpoint only if its model then computes exactly what the checkpoint does."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertd.errors import CheckpointError
from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.model.export import write_export
from bertd.model.hf_mapping import GLOBAL, LOCAL, transformers_config
from bertd.model.pretrained import load_pretrained
from tests.model.test_export import FAMILIES, MODERN, TINY, VARIANTS, tokenizer_dir, trained_like
from tests.waiting import PATIENCE_S

__all__ = ["tokenizer_dir"]  # a fixture

ENTRIES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(95)))
BERT = FAMILIES["BertForMaskedLM"]
NEARBY = FAMILIES["ModernBertForMaskedLM that looks nearby"]


def stock_checkpoint(config: EncoderConfig, folder: Path, tokenizer: Path, **changes: object) -> Any:
    """A model that transformers made and initialised; no tensor is left at its initial constant."""
    from transformers import AutoConfig, AutoModelForMaskedLM

    described = transformers_config(config, pad_id=0, cls_id=2, sep_id=3) | changes
    torch.manual_seed(11)
    stock = AutoModelForMaskedLM.from_config(AutoConfig.for_model(**described)).eval()
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    stock.save_pretrained(folder)
    for file in tokenizer.iterdir():
        shutil.copy(file, folder)
    return stock


def loaded(config: EncoderConfig, folder: Path, *, entries: tuple[str, ...] = ENTRIES) -> MaskedLanguageModel:
    model = MaskedLanguageModel(config, seed=5).eval()
    load_pretrained(model, str(folder), entries=entries)
    return model


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensor(folder: Path, name: str, tensor: torch.Tensor | None) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(name, None)
    save_file(tensors | ({} if tensor is None else {name: tensor}), folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_export_comes_back_as_the_model_it_was(variant: str, tmp_path: Path, tokenizer_dir: Path) -> None:
    config = VARIANTS[variant]
    exported = trained_like(config)
    write_export(exported, tmp_path / "export", tokenizer_dir=tokenizer_dir, model_card="card")
    model = MaskedLanguageModel(config, seed=5).eval()

    assert load_pretrained(model, str(tmp_path / "export"), entries=ENTRIES) == variant.split()[0]

    ids_BS = torch.randint(0, 100, (4, 32), generator=torch.Generator().manual_seed(3))
    assert torch.equal(model.logits(ids_BS), exported.logits(ids_BS))


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_transformers_made_gives_equal_logits_here(
    family: str, padded: bool, tmp_path: Path, tokenizer_dir: Path
) -> None:
    # Its segments are not zeros, its table has more positions, its vocabulary is padded, its norms may have no bias.
    changes: dict[str, object] = {"vocab_size": 104, "max_position_embeddings": 50}
    if family.startswith("ModernBert"):
        changes |= {"norm_bias": False}
    stock = stock_checkpoint(FAMILIES[family], tmp_path / "stock", tokenizer_dir, **changes)

    model = loaded(FAMILIES[family], tmp_path / "stock")

    ids_BS = torch.randint(5, 100, (4, 32), generator=torch.Generator().manual_seed(3))
    attention_mask_BS = torch.ones_like(ids_BS, dtype=torch.bool)
    if padded:
        attention_mask_BS[1, 20:] = attention_mask_BS[2, 5:] = False
        ids_BS[~attention_mask_BS] = 0
    with torch.no_grad():
        theirs_BSV = stock(ids_BS, attention_mask=attention_mask_BS.long()).logits[..., :100]
        ours_BSV = model.logits(ids_BS, attention_mask_BS=attention_mask_BS if padded else None)
    assert float((theirs_BSV - ours_BSV)[attention_mask_BS].abs().max()) <= 2e-5


def test_the_configuration_of_the_published_modernbert_is_understood(tmp_path: Path, tokenizer_dir: Path) -> None:
    """Its keys are older than `layer_types` and `rope_parameters`, and some have no effect."""
    stock = stock_checkpoint(NEARBY, tmp_path / "stock", tokenizer_dir, norm_bias=False)
    path = tmp_path / "stock" / "config.json"
    content = json.loads(path.read_text())
    del content["layer_types"], content["rope_parameters"]
    content |= {"global_attn_every_n_layers": 3, "global_rope_theta": 160.0, "local_rope_theta": 20.0}
    path.write_text(json.dumps(content | {"layer_norm_eps": 1e-05, "position_embedding_type": "sans_pos"}))

    model = loaded(NEARBY, tmp_path / "stock")

    ids_BS = torch.randint(5, 100, (4, 32), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert float((stock(ids_BS).logits - model.logits(ids_BS)).abs().max()) <= 2e-5


@pytest.mark.parametrize("zipped", [True, False], ids=["zipped", "as before 2020"])
def test_weights_in_a_pickle_are_read_as_numbers(zipped: bool, tmp_path: Path, tokenizer_dir: Path) -> None:
    """As RobertaPreLayerNorm and MegatronBert were published."""
    config = FAMILIES["RobertaPreLayerNormForMaskedLM"]
    exported, folder = trained_like(config), tmp_path / "export"
    write_export(exported, folder, tokenizer_dir=tokenizer_dir, model_card="card")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)

    ids_BS = torch.randint(0, 100, (4, 32), generator=torch.Generator().manual_seed(3))
    assert torch.equal(loaded(config, folder).logits(ids_BS), exported.logits(ids_BS))


def test_entries_that_pad_the_vocabulary_stay_impossible(tmp_path: Path, tokenizer_dir: Path) -> None:
    stock_checkpoint(TINY, tmp_path / "stock", tokenizer_dir, vocab_size=128)

    model = loaded(TINY, tmp_path / "stock")

    assert torch.equal(model.head.bias[100:], MaskedLanguageModel(TINY, seed=1).head.bias[100:])


def test_biases_that_are_all_zero_need_no_place(tmp_path: Path, tokenizer_dir: Path) -> None:
    config = replace(TINY, bias=False)
    write_export(trained_like(config), tmp_path / "export", tokenizer_dir=tokenizer_dir, model_card="card")

    with_biases = loaded(TINY, tmp_path / "export")

    ids_BS = torch.arange(32).unsqueeze(0)
    assert torch.allclose(with_biases.logits(ids_BS), loaded(config, tmp_path / "export").logits(ids_BS), atol=1e-6)


@pytest.mark.long
def test_a_name_on_the_hub_is_found_where_the_hub_keeps_it(tmp_path: Path, tokenizer_dir: Path) -> None:
    """Offline, from the hub's own cache: the way a name is looked up, without a network."""
    snapshot = tmp_path / "hub" / "models--group--encoder" / "snapshots" / "0123"
    stock_checkpoint(TINY, snapshot, tokenizer_dir)
    (tmp_path / "hub" / "models--group--encoder" / "refs").mkdir()
    (tmp_path / "hub" / "models--group--encoder" / "refs" / "main").write_text("0123")
    program = (
        "from tests.model.test_pretrained import ENTRIES, TINY, CheckpointError, MaskedLanguageModel, load_pretrained\n"
        "model = MaskedLanguageModel(TINY, seed=5)\n"
        "print(load_pretrained(model, 'group/encoder', entries=ENTRIES))\n"
        "try: load_pretrained(model, 'group/another', entries=ENTRIES)\n"
        "except CheckpointError as error: print(error)\n"
    )

    said = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    ).stdout.splitlines()

    assert said[0] == "MegatronBertForMaskedLM"
    assert said[1].startswith("[model] start_from = 'group/another': ") and "couldn't connect" in said[1]


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (
            TINY,
            {"num_hidden_layers": 3, "hidden_size": 64},
            r"of another shape than the recipe's; write layers = 3, width = 64 in \[model\]",
        ),
        (TINY, {"hidden_act": "gelu_new"}, r'; write activation = "gelu_tanh" in \[model\]'),
        (TINY, {"hidden_act": "relu"}, "hidden_act = 'relu' and neither of gelu, gelu_pytorch_tanh"),
        (TINY, {"layer_norm_eps": 1e-5}, r"; write norm_eps = 1e-05 in \[model\]"),
        (TINY, {"is_decoder": True}, "is_decoder = True and not False"),
        (BERT, {"position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key' and not"),
        (
            MODERN,
            {"layer_types": ["full_attention", "sliding_attention"], "local_attention": 16},
            r"; write local_attention = 16 in \[model\]",
        ),
        (NEARBY, {"layer_types": ["full_attention"] * 3}, r"; write no local_attention in \[model\]"),
        (
            NEARBY,
            {"layer_types": ["full_attention", "sliding_attention", "full_attention"]},
            r"; write global_every = 2 in \[model\]",
        ),
        (
            NEARBY,
            {"layer_types": ["sliding_attention"] * 3},
            "not what bertd computes: layer_types = .* not every n-th",
        ),
        (
            NEARBY,
            {"rope_parameters": {name: {"rope_type": "default", "rope_theta": 16e4} for name in (GLOBAL, LOCAL)}},
            r"; write rotary_base = 160000.0, local_rotary_base = 160000.0 in \[model\]",
        ),
        (
            MODERN,
            {"rope_parameters": {"full_attention": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}},
            "not what bertd computes: rope_parameters of full_attention = .*'linear'.* and not of the type 'default'",
        ),
        (MODERN, {"classifier_activation": "relu"}, "classifier_activation = 'relu' and not 'gelu'"),
        (TINY, {"model_type": "gpt2"}, "model_type = 'gpt2'; bertd starts from bert, megatron-bert, modernbert, rob"),
        (MODERN, {"hidden_activation": "relu"}, "hidden_activation = 'relu' and not 'gelu'"),
        (
            TINY,
            {"model_type": "bert", "num_hidden_layers": 3},
            r'a BertForMaskedLM, of .*; write norm = "post", embedding_norm = true, layers = 3 in \[model\]',
        ),
        (TINY, {"model_type": "a-thing-of-tomorrow"}, "a-thing-of-tomorrow"),
        (TINY, {"hidden_size": "wide"}, "hidden_size"),
    ],
)
def test_a_checkpoint_that_computes_something_else_is_refused(
    config: EncoderConfig, changes: dict[str, object], message: str, tmp_path: Path, tokenizer_dir: Path
) -> None:
    folder = tmp_path / "export"
    write_export(trained_like(config), folder, tokenizer_dir=tokenizer_dir, model_card="card")
    change_config(folder, **changes)

    with pytest.raises(CheckpointError, match=message) as caught:
        loaded(config, folder)

    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_biases_for_which_the_recipe_has_no_place_are_refused(tmp_path: Path, tokenizer_dir: Path) -> None:
    for config in (TINY, replace(MODERN, bias=True)):
        folder = tmp_path / f"{config.positions}"
        write_export(trained_like(config), folder, tokenizer_dir=tokenizer_dir, model_card="card")
        with pytest.raises(CheckpointError, match="bias is not zero, and this model has no place for it; write bias"):
            loaded(replace(config, bias=False), folder)


def test_a_decoder_of_its_own_is_refused(tmp_path: Path, tokenizer_dir: Path) -> None:
    stock_checkpoint(BERT, tmp_path / "stock", tokenizer_dir, tie_word_embeddings=False)

    with pytest.raises(CheckpointError, match=r"cls.predictions.decoder.weight is not zero, and this model has no"):
        loaded(BERT, tmp_path / "stock")


def test_too_few_positions_are_refused(tmp_path: Path, tokenizer_dir: Path) -> None:
    stock_checkpoint(TINY, tmp_path / "stock", tokenizer_dir, max_position_embeddings=20)

    with pytest.raises(CheckpointError, match=r"has 20 of the 32 rows that this run needs; set data.sequence_length ="):
        loaded(TINY, tmp_path / "stock")


def test_another_vocabulary_is_refused_at_its_first_difference(tmp_path: Path, tokenizer_dir: Path) -> None:
    folder = tmp_path / "export"
    write_export(trained_like(TINY), folder, tokenizer_dir=tokenizer_dir, model_card="card")

    with pytest.raises(CheckpointError, match="its vocabulary has 100 entries and the shards' 99; prepare the"):
        loaded(TINY, folder, entries=ENTRIES[:-1])
    swapped = (*ENTRIES[:7], ENTRIES[8], ENTRIES[7], *ENTRIES[9:])
    with pytest.raises(CheckpointError, match="its entry 7 is 'w2' and the shards' 'w3'; prepare"):
        loaded(TINY, folder, entries=swapped)


def test_a_checkpoint_without_the_head_is_refused(tmp_path: Path, tokenizer_dir: Path) -> None:
    folder = tmp_path / "export"
    write_export(trained_like(TINY), folder, tokenizer_dir=tokenizer_dir, model_card="card")
    change_tensor(folder, "cls.predictions.transform.dense.weight", None)

    with pytest.raises(CheckpointError, match=r"has no cls.predictions.transform.dense.weight \(1 tensors are missing"):
        loaded(TINY, folder)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"pre_tokenizer": {"type": "of tomorrow"}}, "data did not match any variant"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "Precompiled: Error"),
    ],
)
def test_a_tokenizer_that_its_library_gives_up_on_is_refused(
    part: dict[str, object], message: str, tmp_path: Path, tokenizer_dir: Path
) -> None:
    folder = tmp_path / "export"
    write_export(trained_like(TINY), folder, tokenizer_dir=tokenizer_dir, model_card="card")
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | part))

    with pytest.raises(CheckpointError, match=rf"^\[model\] start_from = '{folder}': {message}.*; give a folder"):
        loaded(TINY, folder)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_something_is_refused_and_does_not(tmp_path: Path, tokenizer_dir: Path) -> None:
    folder = tmp_path / "export"
    write_export(trained_like(TINY), folder, tokenizer_dir=tokenizer_dir, model_card="card")
    (folder / "model.safetensors").unlink()
    for number, content in enumerate([pickle.dumps(Trap(tmp_path / "sprung"), protocol=2), b"\x80\x02not a pickle"]):
        (folder / "pytorch_model.bin").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"a pickle that is damaged or would run code") as e:
            loaded(TINY, folder)
        assert "\n" not in str(e.value), number
    torch.save({"cls.predictions.bias": Trap(tmp_path / "sprung")}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"a pickle that is damaged or would run code"):
        loaded(TINY, folder)

    assert not (tmp_path / "sprung").exists()


def test_code_that_comes_with_a_checkpoint_is_not_run(tmp_path: Path, tokenizer_dir: Path) -> None:
    folder = tmp_path / "export"
    write_export(trained_like(TINY), folder, tokenizer_dir=tokenizer_dir, model_card="card")
    (folder / "theirs.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'sprung')!r})\n")
    change_config(folder, model_type="theirs", auto_map={"AutoConfig": "theirs.Config"})

    with pytest.raises(CheckpointError, match=r"start_from = .*"):
        loaded(TINY, folder)

    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "short"])
def test_a_damaged_checkpoint_is_one_line(name: str, damage: str, tmp_path: Path, tokenizer_dir: Path) -> None:
    folder = tmp_path / "export"
    write_export(trained_like(TINY), folder, tokenizer_dir=tokenizer_dir, model_card="card")
    victim = folder / name
    content = victim.read_bytes()
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(content[: len(content) // 2] if damage == "short" else b"")

    with pytest.raises(CheckpointError) as caught:
        loaded(TINY, folder)

    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent': no such folder; give a folder, or a name on the hub"):
        loaded(TINY, tmp_path / "absent")
