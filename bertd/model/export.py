"""Exports: a folder that stock transformers loads, with no custom code and no missing or unexpected key.

    pre-LN, embeddings not normed   MegatronBertForMaskedLM        (what 24hBERT trained)
    pre-LN, embeddings normed       RobertaPreLayerNormForMaskedLM
    post-LN, embeddings normed      BertForMaskedLM                (Devlin et al. 2019)

The three differ from this model in names, in three products where it has one, in a segment table (here all zeros) and,
for the Roberta family, in positions that start behind the padding id. tests/model/test_export.py holds equal logits.
Configurations are written as JSON, so exporting does not import transformers: that would cost seconds of the budget.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from bertd.errors import StorageError
from bertd.model.encoder import NORM_EPS, EncoderConfig, Layer, MaskedLanguageModel
from bertd.run.durable import fsync_folder
from bertd.run.paths import TEMPORARY_PREFIX

WEIGHTS = "model.safetensors"
_ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}


def architecture(config: EncoderConfig) -> str:
    """Name of the transformers class that computes what this model computes."""
    if config.norm == "post":
        return "BertForMaskedLM"
    return "RobertaPreLayerNormForMaskedLM" if config.embedding_norm else "MegatronBertForMaskedLM"


def write_export(model: MaskedLanguageModel, folder: Path, *, tokenizer_dir: Path, model_card: str) -> str:
    """Write the folder whole or not at all.

    Args:
        folder: appears only when complete; if it is there, it is left as it is.
        tokenizer_dir: files that AutoTokenizer loads; copied.
        model_card: content of README.md.

    Returns:
        The transformers class name.

    Raises:
        StorageError: the disk refused; nothing is left behind.
    """
    if folder.is_dir():
        # An earlier attempt got this far: the same step is the same model.
        return architecture(model.config)
    temporary = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}-{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(tokenizer_dir, temporary)
        pad_id = _pad_id(tokenizer_dir)
        save_file(dict(named_weights(model, pad_id=pad_id)), temporary / WEIGHTS, metadata={"format": "pt"})
        config = transformers_config(model.config, pad_id=pad_id)
        (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        (temporary / "README.md").write_text(model_card)
        for entry in temporary.iterdir():
            with entry.open("rb") as file:
                os.fsync(file.fileno())
        fsync_folder(temporary)
        temporary.rename(folder)
        fsync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise StorageError(f"{folder}: cannot write the export: {error.strerror or error}; free space there") from error
    return architecture(model.config)


def _pad_id(tokenizer_dir: Path) -> int:
    content = json.loads((tokenizer_dir / "tokenizer.json").read_text())
    return int(next(token["id"] for token in content["added_tokens"] if token["content"] == "[PAD]"))


def transformers_config(config: EncoderConfig, *, pad_id: int) -> dict[str, object]:
    """Content of config.json."""
    name = architecture(config)
    model_type = {
        "BertForMaskedLM": "bert",
        "MegatronBertForMaskedLM": "megatron-bert",
        "RobertaPreLayerNormForMaskedLM": "roberta-prelayernorm",
    }[name]
    positions_before = _positions_before(config, pad_id=pad_id)
    return {
        "architectures": [name],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn,
        "hidden_act": _ACTIVATIONS[config.activation],
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "max_position_embeddings": config.max_positions + positions_before,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": NORM_EPS,
        "pad_token_id": pad_id,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }


def _positions_before(config: EncoderConfig, *, pad_id: int) -> int:
    """Rows of the position table that transformers skips: Roberta counts from behind the padding id."""
    return pad_id + 1 if architecture(config) == "RobertaPreLayerNormForMaskedLM" else 0


def named_weights(model: MaskedLanguageModel, *, pad_id: int) -> Iterator[tuple[str, Tensor]]:
    """Every tensor under the name the transformers class gives it: fp32, on CPU, contiguous."""
    for name, tensor in _named_weights(model, pad_id=pad_id):
        yield name, tensor.detach().float().cpu().contiguous().clone()


def _named_weights(model: MaskedLanguageModel, *, pad_id: int) -> Iterator[tuple[str, Tensor]]:
    config = model.config
    root = {"post": "bert"}.get(config.norm, "roberta_prelayernorm" if config.embedding_norm else "bert")
    yield from _embeddings(model, root, pad_id=pad_id)
    for index in range(config.layers):
        yield from _layer(model, index, f"{root}.encoder.layer.{index}")
    final = model.encoder.norm
    if final is not None:
        yield from _affine(final, f"{root}.LayerNorm" if config.embedding_norm else f"{root}.encoder.ln")
    yield from _head(model)


def _embeddings(model: MaskedLanguageModel, root: str, *, pad_id: int) -> Iterator[tuple[str, Tensor]]:
    config, embeddings = model.config, model.encoder.embeddings
    yield f"{root}.embeddings.word_embeddings.weight", embeddings.tokens.weight[: config.vocab_size]
    skipped = torch.zeros(
        _positions_before(config, pad_id=pad_id), config.width, device=embeddings.tokens.weight.device
    )
    yield f"{root}.embeddings.position_embeddings.weight", torch.cat([skipped, embeddings.positions.weight])
    yield f"{root}.embeddings.token_type_embeddings.weight", torch.zeros(2, config.width)
    if embeddings.norm is not None:
        yield from _affine(embeddings.norm, f"{root}.embeddings.LayerNorm")


def _layer(model: MaskedLanguageModel, index: int, to: str) -> Iterator[tuple[str, Tensor]]:
    layer = model.encoder.layers[index]
    assert isinstance(layer, Layer)
    attention, feed_forward = layer.attention, layer.feed_forward
    for part, weight, bias in zip(
        ("query", "key", "value"), attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True
    ):
        yield f"{to}.attention.self.{part}.weight", weight
        yield f"{to}.attention.self.{part}.bias", bias
    yield from _affine(attention.out, f"{to}.attention.output.dense")
    yield from _affine(feed_forward.up, f"{to}.intermediate.dense")
    yield from _affine(feed_forward.down, f"{to}.output.dense")
    attention_norm, feed_forward_norm = {
        "MegatronBertForMaskedLM": (f"{to}.attention.ln", f"{to}.ln"),
        "RobertaPreLayerNormForMaskedLM": (f"{to}.attention.LayerNorm", f"{to}.intermediate.LayerNorm"),
        "BertForMaskedLM": (f"{to}.attention.output.LayerNorm", f"{to}.output.LayerNorm"),
    }[architecture(model.config)]
    yield from _affine(layer.attention_norm, attention_norm)
    yield from _affine(layer.feed_forward_norm, feed_forward_norm)


def _head(model: MaskedLanguageModel) -> Iterator[tuple[str, Tensor]]:
    head, bias = model.head, model.head.bias[: model.config.vocab_size]
    if architecture(model.config) == "RobertaPreLayerNormForMaskedLM":
        yield from _affine(head.dense, "lm_head.dense")
        yield from _affine(head.norm, "lm_head.layer_norm")
        yield "lm_head.bias", bias
    else:
        yield from _affine(head.dense, "cls.predictions.transform.dense")
        yield from _affine(head.norm, "cls.predictions.transform.LayerNorm")
        yield "cls.predictions.bias", bias


def _affine(module: torch.nn.Module, to: str) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in module.named_parameters():
        yield f"{to}.{name}", parameter
