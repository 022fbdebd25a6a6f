"""Tiny random encoders of stock transformers, saved as their users save them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers as tf

from tests.glue.tiny_export import save_tiny_export

_SIZE = {
    "vocab_size": 20,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
_MODERN = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3, "local_attention": 8}
_DISTILBERT = {
    "vocab_size": 20,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 64,
    "max_position_embeddings": 40,
}


def _build(name: str) -> tf.PreTrainedModel:
    match name:
        case "bert":
            return tf.BertForMaskedLM(tf.BertConfig(**_SIZE))
        case "bert-without-head":
            return tf.BertModel(tf.BertConfig(**_SIZE))
        case "roberta":
            return tf.RobertaForMaskedLM(tf.RobertaConfig(**_SIZE))
        case "distilbert":
            return tf.DistilBertForMaskedLM(tf.DistilBertConfig(**_DISTILBERT))
        case "electra":
            return tf.ElectraForPreTraining(tf.ElectraConfig(**_SIZE, embedding_size=16))
        case "modernbert":
            return tf.ModernBertForMaskedLM(tf.ModernBertConfig(**_SIZE, **_MODERN))
        case "albert":
            return tf.AlbertForMaskedLM(tf.AlbertConfig(**_SIZE, embedding_size=16))
        case "deberta-v2":
            return tf.DebertaV2ForMaskedLM(tf.DebertaV2Config(**_SIZE))
        case "mpnet":
            return tf.MPNetForMaskedLM(tf.MPNetConfig(**_SIZE))
        case "esm":
            return tf.EsmForMaskedLM(
                tf.EsmConfig(**_SIZE, mask_token_id=4, position_embedding_type="rotary", token_dropout=False)
            )
        case "gpt2":
            return tf.GPT2LMHeadModel(tf.GPT2Config(vocab_size=20, n_embd=32, n_layer=1, n_head=2, n_positions=40))
        case "bart":
            size = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 20, "pad_token_id": 0}
            return tf.BartForConditionalGeneration(tf.BartConfig(**size, bos_token_id=2, eos_token_id=3))
    raise AssertionError(name)


def save_stock_encoder(folder: Path, *, name: str) -> Path:
    """Write the encoder, as `save_pretrained` does, with the tokenizer of the tiny exports; returns `folder`."""
    torch.manual_seed(0)
    model = _build(name)
    save_tiny_export(folder, positions=40)
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    model.save_pretrained(folder)
    return folder
