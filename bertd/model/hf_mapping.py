"""Map the model to the class of stock transformers that computes the same, and their weights to each other.

    pre-LN, embeddings not normed   MegatronBertForMaskedLM        (what 24hBERT trained)
    pre-LN, embeddings normed       RobertaPreLayerNormForMaskedLM
    post-LN, embeddings normed      BertForMaskedLM                (Devlin et al. 2019)
    rotary positions, GeGLU         ModernBertForMaskedLM          (Warner et al. 2024)

The first three differ from this model in names, in three projections (q, k, v) where it has one, in a token-type table,
exported as zeros, and in biases, exported as zeros if the recipe has none. RobertaPreLayerNorm position ids start at
pad_id + 1. One table, read in one direction to export and in the other to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from bertd.model.encoder import EncoderConfig


class Family(StrEnum):
    """By the name of the transformers class."""

    MEGATRON = "MegatronBertForMaskedLM"
    ROBERTA = "RobertaPreLayerNormForMaskedLM"
    BERT = "BertForMaskedLM"
    MODERN = "ModernBertForMaskedLM"


MODEL_TYPES = {
    Family.MEGATRON: "megatron-bert",
    Family.ROBERTA: "roberta-prelayernorm",
    Family.BERT: "bert",
    Family.MODERN: "modernbert",
}
GLOBAL, LOCAL = "full_attention", "sliding_attention"
"""What transformers calls ModernBERT's global and local layers."""
_UNUSED_WINDOW = 128
"""Written where no layer is local; transformers' own default."""
ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "geglu": "gelu"}


@dataclass(frozen=True)
class WeightMapping:
    """One tensor of the stock class."""

    hf_name: str
    bertd_name: str | None
    """The model's parameter that holds it; None where it is all zeros."""
    rows: tuple[int, int] | None = None
    """Rows of our parameter; None for all."""
    skipped: int = 0
    """Rows of zeros that the stock tensor has before ours."""
    zeros: tuple[int, ...] = ()
    """Shape, where `bertd_name` is None."""


def family_of(config: EncoderConfig) -> Family:
    """The stock class for these choices; the recipe allows no others."""
    if config.positions == "rotary":
        return Family.MODERN
    if config.norm == "post":
        return Family.BERT
    return Family.ROBERTA if config.embedding_norm else Family.MEGATRON


def weight_mappings(config: EncoderConfig, *, pad_id: int) -> Iterator[WeightMapping]:
    """Every tensor of the stock class, once."""
    if family_of(config) is Family.MODERN:
        yield from _modern_mappings(config)
    else:
        yield from _bert_mappings(config, pad_id=pad_id)


def position_offset(config: EncoderConfig, *, pad_id: int) -> int:
    """Rows of the stock position table that no position uses."""
    return pad_id + 1 if family_of(config) is Family.ROBERTA else 0


def _affine(hf_name: str, bertd_name: str, size: int, *, has_bias: bool = True) -> Iterator[WeightMapping]:
    yield WeightMapping(f"{hf_name}.weight", f"{bertd_name}.weight")
    yield (
        WeightMapping(f"{hf_name}.bias", f"{bertd_name}.bias")
        if has_bias
        else WeightMapping(f"{hf_name}.bias", None, zeros=(size,))
    )


def _bert_mappings(config: EncoderConfig, *, pad_id: int) -> Iterator[WeightMapping]:
    family, D, F = family_of(config), config.width, config.ffn
    root = "roberta_prelayernorm" if family is Family.ROBERTA else "bert"
    embeddings = f"{root}.embeddings"
    yield WeightMapping(
        f"{embeddings}.word_embeddings.weight", "encoder.embeddings.tokens.weight", (0, config.vocab_size)
    )
    skipped = position_offset(config, pad_id=pad_id)
    yield WeightMapping(
        f"{embeddings}.position_embeddings.weight", "encoder.embeddings.positions.weight", skipped=skipped
    )
    yield WeightMapping(f"{embeddings}.token_type_embeddings.weight", None, zeros=(2, D))
    if config.embedding_norm:
        yield from _affine(f"{embeddings}.LayerNorm", "encoder.embeddings.norm", D)
    for index in range(config.layers):
        hf_name, bertd_name = f"{root}.encoder.layer.{index}", f"encoder.layers.{index}"
        for part, name in enumerate(("query", "key", "value")):
            rows, to = (part * D, (part + 1) * D), f"{hf_name}.attention.self.{name}"
            yield WeightMapping(f"{to}.weight", f"{bertd_name}.attention.qkv.weight", rows)
            bias = WeightMapping(f"{to}.bias", f"{bertd_name}.attention.qkv.bias", rows)
            yield bias if config.bias else WeightMapping(f"{to}.bias", None, zeros=(D,))
        yield from _affine(f"{hf_name}.attention.output.dense", f"{bertd_name}.attention.out", D, has_bias=config.bias)
        yield from _affine(f"{hf_name}.intermediate.dense", f"{bertd_name}.feed_forward.up", F, has_bias=config.bias)
        yield from _affine(f"{hf_name}.output.dense", f"{bertd_name}.feed_forward.down", D, has_bias=config.bias)
        before_attention, before_ffn = _NORMS[family]
        yield from _affine(f"{hf_name}.{before_attention}", f"{bertd_name}.attention_norm", D)
        yield from _affine(f"{hf_name}.{before_ffn}", f"{bertd_name}.feed_forward_norm", D)
    if config.norm == "pre":
        yield from _affine(f"{root}.LayerNorm" if family is Family.ROBERTA else f"{root}.encoder.ln", "encoder.norm", D)
    dense, norm, bias_name = _HEADS[family]
    yield from _affine(dense, "head.dense", D, has_bias=config.bias)
    yield from _affine(norm, "head.norm", D)
    yield WeightMapping(bias_name, "head.bias", (0, config.vocab_size))


_NORMS = {
    Family.MEGATRON: ("attention.ln", "ln"),
    Family.ROBERTA: ("attention.LayerNorm", "intermediate.LayerNorm"),
    Family.BERT: ("attention.output.LayerNorm", "output.LayerNorm"),
}
_BERT_HEAD = ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias")
_HEADS = {
    Family.MEGATRON: _BERT_HEAD,
    Family.BERT: _BERT_HEAD,
    Family.ROBERTA: ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
}


def _modern_mappings(config: EncoderConfig) -> Iterator[WeightMapping]:
    def linear(hf_name: str, bertd_name: str) -> Iterator[WeightMapping]:
        yield WeightMapping(f"{hf_name}.weight", f"{bertd_name}.weight")
        if config.bias:
            yield WeightMapping(f"{hf_name}.bias", f"{bertd_name}.bias")

    D = config.width
    tokens = "model.embeddings.tok_embeddings.weight"
    yield WeightMapping(tokens, "encoder.embeddings.tokens.weight", (0, config.vocab_size))
    yield from _affine("model.embeddings.norm", "encoder.embeddings.norm", D)
    for index in range(config.layers):
        hf_name, bertd_name = f"model.layers.{index}", f"encoder.layers.{index}"
        if index > 0:
            yield from _affine(f"{hf_name}.attn_norm", f"{bertd_name}.attention_norm", D)
        yield from linear(f"{hf_name}.attn.Wqkv", f"{bertd_name}.attention.qkv")
        yield from linear(f"{hf_name}.attn.Wo", f"{bertd_name}.attention.out")
        yield from _affine(f"{hf_name}.mlp_norm", f"{bertd_name}.feed_forward_norm", D)
        yield from linear(f"{hf_name}.mlp.Wi", f"{bertd_name}.feed_forward.up")
        yield from linear(f"{hf_name}.mlp.Wo", f"{bertd_name}.feed_forward.down")
    yield from _affine("model.final_norm", "encoder.norm", D)
    yield from linear("head.dense", "head.dense")
    yield from _affine("head.norm", "head.norm", D)
    yield WeightMapping("decoder.bias", "head.bias", (0, config.vocab_size))


def transformers_config(config: EncoderConfig, *, pad_id: int, cls_id: int, sep_id: int) -> dict[str, object]:
    """Content of config.json."""
    family = family_of(config)
    shared: dict[str, object] = {
        "architectures": [str(family)],
        "model_type": MODEL_TYPES[family],
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.max_positions + position_offset(config, pad_id=pad_id),
        "initializer_range": 0.02,
        "pad_token_id": pad_id,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }
    if family is Family.MODERN:
        return shared | _modern_config(config, cls_id, sep_id)
    # RoBERTa's class would otherwise name the ids of its own vocabulary.
    ends = {"bos_token_id": cls_id, "eos_token_id": sep_id} if family is Family.ROBERTA else {}
    return shared | _bert_config(config) | ends


def _bert_config(config: EncoderConfig) -> dict[str, object]:
    return {
        "hidden_act": ACTIVATIONS[config.activation],
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "layer_norm_eps": config.norm_eps,
        "type_vocab_size": 2,
    }


def layer_types(config: EncoderConfig) -> list[str]:
    """What transformers calls each of ModernBERT's layers."""
    return [LOCAL if config.is_local(index) else GLOBAL for index in range(config.layers)]


def _modern_config(config: EncoderConfig, cls_id: int, sep_id: int) -> dict[str, object]:
    return {
        "hidden_activation": ACTIVATIONS[config.activation],
        "layer_types": layer_types(config),
        "local_attention": config.local_attention or _UNUSED_WINDOW,
        "rope_parameters": {
            GLOBAL: {"rope_type": "default", "rope_theta": config.rotary_base},
            LOCAL: {"rope_type": "default", "rope_theta": config.local_rotary_base},
        },
        "norm_eps": config.norm_eps,
        "norm_bias": True,
        "attention_bias": config.bias,
        "mlp_bias": config.bias,
        "classifier_bias": config.bias,
        "decoder_bias": True,
        "attention_dropout": config.attention_dropout,
        "mlp_dropout": config.dropout,
        "embedding_dropout": config.dropout,
        "bos_token_id": cls_id,
        "cls_token_id": cls_id,
        "eos_token_id": sep_id,
        "sep_token_id": sep_id,
    }
