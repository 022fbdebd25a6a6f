"""A randomly initialized encoder with a few thousand weights, saved by stock transformers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    MegatronBertConfig,
    MegatronBertForMaskedLM,
    RobertaPreLayerNormConfig,
    RobertaPreLayerNormForMaskedLM,
)

WORDS = ["a", "b", "c", "d", "e", "f", "g", "h", "good", "bad", ".", "cat", "dog", "sat", "ran"]

_FAMILIES = {
    "bert": (BertConfig, BertForMaskedLM),
    "megatron-bert": (MegatronBertConfig, MegatronBertForMaskedLM),
    "roberta-prelayernorm": (RobertaPreLayerNormConfig, RobertaPreLayerNormForMaskedLM),
}


def save_tiny_export(folder: Path, *, family: str = "bert", positions: int = 32) -> Path:
    """Write the model and an uncased WordPiece tokenizer over WORDS; returns `folder`."""
    config_class, model_class = _FAMILIES[family]
    torch.manual_seed(0)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: index for index, token in enumerate(specials + WORDS)}
    config = config_class(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
        pad_token_id=0,
    )
    model_class(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(vocabulary, specials)))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "BertTokenizer",
                "model_max_length": positions,
                **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
            }
        )
    )
    return folder


def save_byte_level_export(folder: Path, *, positions: int = 32) -> Path:
    """Write a RobertaPreLayerNorm as bertd exports it, with RoBERTa's kind of vocabulary; returns `folder`."""
    from bertd.model.encoder import MaskedLanguageModel
    from bertd.model.export import write_export
    from bertd.tokenizer.save import tokenizer_files
    from tests.model.test_export import FAMILIES
    from tests.tokenizers_as_published import roberta_like

    tokenizer = roberta_like()
    family = FAMILIES["RobertaPreLayerNormForMaskedLM"]
    config = replace(family, vocab_size=tokenizer.get_vocab_size(), max_positions=positions)
    tokenizer_dir = folder.with_name(f"{folder.name}-tokenizer")
    tokenizer_dir.mkdir(parents=True)
    for name, content in tokenizer_files(tokenizer, place="test").items():
        (tokenizer_dir / name).write_bytes(content)
    write_export(MaskedLanguageModel(config, seed=0), folder, tokenizer_dir=tokenizer_dir, model_card="")
    return folder


def _tokenizer(vocabulary: dict[str, int], specials: list[str]) -> dict[str, object]:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    tokenizer.add_special_tokens(specials)
    content: dict[str, object] = json.loads(tokenizer.to_str())
    return content
