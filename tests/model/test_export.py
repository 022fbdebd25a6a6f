"""Exports compute what the model computes, under stock transformers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import BertWordPieceTokenizer, Tokenizer

from bertd.data.commands.vocab import train_vocabulary
from bertd.errors import CheckpointError
from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.model.export import write_export
from bertd.model.hf_mapping import family_of
from bertd.model.try_export import fill_mask
from bertd.tokenizer.save import tokenizer_files
from bertd.tokenizer.tokenizer import open_tokenizer, vocabulary_from_tokenizer
from bertd.tokenizer.wordpiece import Casing
from tests.tokenizers_as_published import modern_like, roberta_like

README = Path(__file__).parents[2] / "README.md"
"""Real text."""
TINY = EncoderConfig(
    vocab_size=100,
    max_positions=32,
    layers=2,
    width=32,
    heads=4,
    ffn=64,
    norm="pre",
    embedding_norm=False,
    activation="gelu",
    positions="learned",
    bias=True,
    dropout=0.1,
    attention_dropout=0.1,
)
MODERN = replace(TINY, embedding_norm=True, positions="rotary", activation="geglu", bias=False)
FAMILIES = {
    "MegatronBertForMaskedLM": replace(TINY, activation="gelu_tanh"),
    "RobertaPreLayerNormForMaskedLM": replace(TINY, embedding_norm=True),
    "BertForMaskedLM": replace(TINY, norm="post", embedding_norm=True),
    "ModernBertForMaskedLM": MODERN,
    "ModernBertForMaskedLM that looks nearby": replace(
        MODERN, layers=3, local_attention=8, rotary_base=160.0, local_rotary_base=20.0
    ),
}


VARIANTS = FAMILIES | {
    "MegatronBertForMaskedLM without biases": replace(TINY, bias=False),
    "BertForMaskedLM without biases": replace(TINY, norm="post", embedding_norm=True, bias=False),
    "ModernBertForMaskedLM with biases": replace(MODERN, bias=True),
    "ModernBertForMaskedLM with another base": replace(MODERN, rotary_base=160.0),
    "RobertaPreLayerNormForMaskedLM with another epsilon": replace(TINY, embedding_norm=True, norm_eps=1e-3),
}


@pytest.fixture
def tokenizer_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(95))]
    tokenizer = BertWordPieceTokenizer(vocab={word: index for index, word in enumerate(words)})
    tokenizer.add_special_tokens(words[:5])
    tokenizer.save(str(folder / "tokenizer.json"))
    # As bertd writes it: otherwise the class would follow the model's family, and RoBERTa's adds its own entries.
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return folder


def trained_like(config: EncoderConfig) -> MaskedLanguageModel:
    """A model in which no tensor has its initial constant, so that a swapped name is detected."""
    model = MaskedLanguageModel(config, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_export_gives_equal_logits_in_stock_transformers(variant: str, tmp_path: Path, tokenizer_dir: Path) -> None:
    from transformers import AutoModelForMaskedLM

    model, family = trained_like(VARIANTS[variant]), variant.split()[0]
    assert write_export(model, tmp_path / "export", tokenizer_dir=tokenizer_dir, model_card="card") == family

    stock, loading = AutoModelForMaskedLM.from_pretrained(tmp_path / "export", output_loading_info=True)

    assert type(stock).__name__ == family == family_of(model.config)
    assert not loading["missing_keys"] and not loading["unexpected_keys"] and not loading["mismatched_keys"]
    ids_BS = torch.randint(5, 100, (4, 32), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        difference = (stock.eval()(ids_BS).logits - model.logits(ids_BS)).abs().max()
    assert float(difference) <= 2e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_an_export_gives_equal_logits_under_padding(family: str, tmp_path: Path, tokenizer_dir: Path) -> None:
    from transformers import AutoModelForMaskedLM

    model = trained_like(FAMILIES[family])
    write_export(model, tmp_path / "export", tokenizer_dir=tokenizer_dir, model_card="card")
    stock = AutoModelForMaskedLM.from_pretrained(tmp_path / "export").eval()
    ids_BS = torch.randint(5, 100, (2, 16), generator=torch.Generator().manual_seed(3))
    ids_BS[1, 10:] = 0
    attention_mask_BS = ids_BS != 0

    with torch.no_grad():
        theirs_BSV = stock(ids_BS, attention_mask=attention_mask_BS.long()).logits
        ours_BSV = model.logits(ids_BS, attention_mask_BS=attention_mask_BS)

    assert float((theirs_BSV - ours_BSV)[attention_mask_BS].abs().max()) <= 2e-5


@pytest.fixture(scope="module")
def trained_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabulary") / "vocab"
    train_vocabulary([f"text:{README}"], out=folder, size=400, casing=Casing(lowercase=True, strip_accents=True))
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_an_export_reads_real_text_as_our_tokenizer_and_gives_equal_logits(
    family: str, tmp_path: Path, trained_vocabulary: Path
) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    ours = open_tokenizer(str(trained_vocabulary))
    model = trained_like(replace(FAMILIES[family], vocab_size=ours.get_vocab_size(), max_positions=64))
    write_export(model, tmp_path / "export", tokenizer_dir=trained_vocabulary, model_card="card")
    lines = [line for line in README.read_text().splitlines() if len(line.split()) > 10][:20]

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "export")
    stock = AutoModelForMaskedLM.from_pretrained(tmp_path / "export").eval()

    assert len(tokenizer) == ours.get_vocab_size()
    for line in [*lines, "Ünïcode, [MASK] & 漢字!"]:
        ids = ours.encode(line).ids
        assert tokenizer(line)["input_ids"] == ids
        ids_BS = torch.tensor([ids[:64]])
        with torch.no_grad():
            difference = (stock(ids_BS).logits - model.logits(ids_BS)).abs().max()
        assert float(difference) <= 2e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_every_fact_that_two_files_of_an_export_state_is_the_same_in_both(
    family: str, tmp_path: Path, trained_vocabulary: Path
) -> None:
    from transformers import AutoModel, AutoTokenizer

    size = open_tokenizer(str(trained_vocabulary)).get_vocab_size()
    model = trained_like(replace(FAMILIES[family], vocab_size=size))
    write_export(model, tmp_path / "export", tokenizer_dir=trained_vocabulary, model_card="card")

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "export")
    stock = AutoModel.from_pretrained(tmp_path / "export").eval()
    config = stock.config

    assert tokenizer.model_max_length == model.config.max_positions == 32
    assert config.vocab_size == len(tokenizer) == stock.get_input_embeddings().num_embeddings
    assert config.pad_token_id == tokenizer.pad_token_id
    for role, other in (("bos", "cls"), ("eos", "sep"), ("cls", "cls"), ("sep", "sep")):
        stated = getattr(config, f"{role}_token_id", None)
        assert stated in (None, getattr(tokenizer, f"{other}_token_id")), role
    assert config.dtype == next(stock.parameters()).dtype == torch.float32
    # What the tokenizer makes of a text that is too long is what the model takes.
    batch = tokenizer(["lamp river " * 100, "a pair"], ["of words " * 100, "is short"], **_CUT)
    assert ("token_type_ids" in batch) == hasattr(config, "type_vocab_size")
    assert batch["input_ids"].shape == (2, 32) and torch.isfinite(stock(**batch).last_hidden_state).all()


_CUT = {"truncation": True, "padding": True, "return_tensors": "pt"}


@pytest.mark.parametrize("build", [roberta_like, modern_like])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_export_with_a_byte_level_vocabulary_knows_its_special_tokens_and_gives_equal_logits(
    family: str, build: Callable[[], Tokenizer], tmp_path: Path
) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    ours, vocabulary = build(), vocabulary_from_tokenizer(build(), place="test")
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    for name, content in tokenizer_files(ours, place="test").items():
        (folder / name).write_bytes(content)
    model = trained_like(replace(FAMILIES[family], vocab_size=vocabulary.size, max_positions=64))
    name = write_export(model, tmp_path / "export", tokenizer_dir=folder, model_card="card")

    config = json.loads((tmp_path / "export" / "config.json").read_text())
    assert config["pad_token_id"] == vocabulary.pad != 0
    if name == "ModernBertForMaskedLM":
        assert (config["cls_token_id"], config["sep_token_id"]) == (vocabulary.cls, vocabulary.sep)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "export")
    stock = AutoModelForMaskedLM.from_pretrained(tmp_path / "export").eval()
    texts = [f"A budget of {vocabulary.mask_token} hours, don't you think?", "Naïve 👍"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    assert batch["input_ids"][0].tolist() == ours.encode(texts[0]).ids
    assert batch["input_ids"][1, -1] == vocabulary.pad and vocabulary.mask in batch["input_ids"][0]
    attention_mask_BS = batch["attention_mask"].bool()
    with torch.no_grad():
        difference_BSV = stock(**batch).logits - model.logits(batch["input_ids"], attention_mask_BS=attention_mask_BS)
    assert float(difference_BSV[attention_mask_BS].abs().max()) <= 2e-5
    filled = fill_mask(tmp_path / "export", texts[0])
    assert filled["architecture"] == name and "\u0120" not in json.dumps(filled, ensure_ascii=False)
    with pytest.raises(CheckpointError, match=f"has 0 {re.escape(vocabulary.mask_token)}; write exactly one"):
        fill_mask(tmp_path / "export", "nothing to fill in")


def test_an_export_appears_whole_or_not_at_all(tmp_path: Path, tokenizer_dir: Path) -> None:
    from bertd.errors import StorageError

    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "export").write_text("in the way")

    with pytest.raises(StorageError, match="cannot write the export"):
        write_export(
            trained_like(TINY), tmp_path / "exports" / "export", tokenizer_dir=tokenizer_dir, model_card="card"
        )

    assert [entry.name for entry in (tmp_path / "exports").iterdir()] == ["export"]


def test_an_export_of_the_same_step_is_kept_where_it_is_the_same_model(tmp_path: Path, tokenizer_dir: Path) -> None:
    model, folder = trained_like(TINY), tmp_path / "step-000000050"
    write_export(model, folder, tokenizer_dir=tokenizer_dir, model_card="first")
    write_export(model, folder, tokenizer_dir=tokenizer_dir, model_card="second")
    assert (folder / "README.md").read_text() == "first"

    # After a rollback the run reaches the step again, with other batches.
    with torch.no_grad():
        model.head.bias.add_(1.0)
    write_export(model, folder, tokenizer_dir=tokenizer_dir, model_card="third")

    assert (folder / "README.md").read_text() == "third"
    assert (tmp_path / "void-step-000000050" / "README.md").read_text() == "first"


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077], ids=oct)
def test_the_files_of_an_export_have_the_modes_of_the_umask(umask: int, tmp_path: Path, tokenizer_dir: Path) -> None:
    for path in (tokenizer_dir, *tokenizer_dir.iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
    before = os.umask(umask)
    try:
        write_export(trained_like(TINY), tmp_path / "out", tokenizer_dir=tokenizer_dir, model_card="")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o777 & ~umask
    modes = {entry.name: entry.stat().st_mode & 0o777 for entry in (tmp_path / "out").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= set(modes)
    assert set(modes.values()) == {0o666 & ~umask}
