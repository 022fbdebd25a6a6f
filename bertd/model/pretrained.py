"""Load a run's first weights from a checkpoint of stock transformers: a folder, or a name on the Hugging Face hub.

Any of the families that bertd exports to is accepted, if this model computes exactly what the checkpoint does; a weight
that it has no place for is refused rather than left out. Two things are converted: every sequence here is one segment,
so the row of segment 0 is added to each position; and positions beyond the sequence length are cut off.

Weights are read from safetensors if there are any. Older checkpoints are pickles, which torch loads with weights_only:
one that would run code is refused.
tests/model/test_pretrained.py holds equal logits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from bertd.errors import CheckpointError
from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.model.hf_mapping import (
    ACTIVATIONS,
    GLOBAL,
    LOCAL,
    MODEL_TYPES,
    Family,
    WeightMapping,
    family_of,
    layer_types,
    weight_mappings,
)
from bertd.run.pretrained_folder import SHAPE_KEYS
from bertd.tokenizer.errors import translate_tokenizer_errors

_RECIPE_KEYS: dict[Family, dict[str, object]] = {
    Family.MEGATRON: {"norm": "pre", "embedding_norm": False, "positions": "learned"},
    Family.ROBERTA: {"norm": "pre", "embedding_norm": True, "positions": "learned"},
    Family.BERT: {"norm": "post", "embedding_norm": True, "positions": "learned"},
    Family.MODERN: {"norm": "pre", "embedding_norm": True, "positions": "rotary", "activation": "geglu"},
}
"""Recipe keys that each family requires."""
_UNSUPPORTED_OPTIONS = {"is_decoder": False, "add_cross_attention": False, "position_embedding_type": "absolute"}
"""Options of BERT's stock classes that bertd does not have, and their values when not used. ModernBERT's class has none
of them; such keys in its published configurations mean nothing."""
_SYNONYMS = {"gelu_new": "gelu_pytorch_tanh"}
_DEFAULT_ROPE = "default"
_SEGMENTS = "token_type_embeddings.weight"

_SOURCE_HINT = (
    "a folder, or a name on the hub, with config.json, model.safetensors or pytorch_model.bin, and a tokenizer"
)
_LOADING_ERRORS = (
    *(OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError),
    SafetensorError,
)
"""What transformers raises for a missing or damaged checkpoint, besides the errors of tokenizers."""

T = TypeVar("T")


def load_pretrained(model: MaskedLanguageModel, source: str, *, entries: tuple[str, ...]) -> str:
    """Copy the checkpoint's weights into the model, on the model's device.

    Args:
        source: a folder, or a name on the hub, such as google-bert/bert-base-uncased.
        entries: vocabulary of the shards, by their ids; the checkpoint's must be the same.

    Returns:
        The transformers class name.

    Raises:
        CheckpointError: cannot be loaded, is damaged, has another vocabulary, or computes something else.
    """
    from transformers import AutoModelForMaskedLM  # seconds that other runs need not pay

    stock = require_compatible_checkpoint(source, model.config, entries=entries)
    # Otherwise transformers would have a service on the hub convert a pickle there to safetensors.
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    found, report = _load(
        source,
        lambda: AutoModelForMaskedLM.from_pretrained(
            source, dtype=torch.float32, weights_only=True, trust_remote_code=False, output_loading_info=True
        ),
    )
    if missing := sorted(report["missing_keys"]):
        raise CheckpointError(
            f"{source}: has no {missing[0]} ({len(missing)} tensors are missing); "
            "start from a checkpoint with the head of a masked language model"
        )
    _copy_weights(source, found.state_dict(), into=model, pad_id=stock.pad_token_id or 0)
    return str(family_of(model.config))


def require_compatible_checkpoint(source: str, config: EncoderConfig, *, entries: tuple[str, ...]) -> Any:
    """Check everything but the weights; returns the checkpoint's configuration.

    Raises:
        CheckpointError: as load_pretrained, except for missing, damaged or misplaced weights.
    """
    from transformers import AutoConfig, AutoTokenizer  # seconds that other runs need not pay

    if Path(source).is_absolute() and not Path(source).is_dir():
        raise CheckpointError(f"[model] start_from = {source!r}: no such folder; give {_SOURCE_HINT}")
    # Code that came with a checkpoint is never run; None would prompt at a terminal.
    stock = _load(source, lambda: AutoConfig.from_pretrained(source, trust_remote_code=False))
    require_same_computation(source, stock, config)
    tokenizer = _load(source, lambda: AutoTokenizer.from_pretrained(source, trust_remote_code=False))
    require_vocabulary(source, tokenizer.get_vocab(), entries)
    return stock


def _load(source: str, load: Callable[[], T]) -> T:
    from huggingface_hub.errors import StrictDataclassError  # imports an HTTP client, which other runs need not load

    try:
        with translate_tokenizer_errors():
            return load()
    except UnpicklingError as error:
        raise CheckpointError(
            f"[model] start_from = {source!r}: its weights are a pickle that is damaged or would run code; "
            f"give {_SOURCE_HINT}"
        ) from error
    except (*_LOADING_ERRORS, StrictDataclassError) as error:
        first_line = (str(error).strip() or repr(error)).splitlines()[0].rstrip(".")
        raise CheckpointError(f"[model] start_from = {source!r}: {first_line}; give {_SOURCE_HINT}") from error


def require_same_computation(source: str, stock: Any, config: EncoderConfig) -> None:
    """Compare a configuration of transformers with the model's.

    Raises:
        CheckpointError: the model would compute something else; names the recipe's keys to change, if that is enough.
    """
    families = {model_type: family for family, model_type in MODEL_TYPES.items()}
    family = families.get(stock.model_type)
    if family is None:
        raise CheckpointError(
            f"{source}: model_type = {stock.model_type!r}; bertd starts from {', '.join(sorted(families))}"
        )
    refused: list[str] = []
    wanted = _RECIPE_KEYS[family] | {
        key: getattr(stock, name) for name, key in SHAPE_KEYS.items() if hasattr(stock, name)
    }
    wanted |= _modern_keys(stock, config, refused) if family is Family.MODERN else _bert_keys(stock, refused)
    if refused:
        raise CheckpointError(f"{source}: not what bertd computes: {', '.join(refused)}; start from another checkpoint")
    differing = {key: value for key, value in wanted.items() if value != getattr(config, key)}
    if differing:
        keys = ", ".join(
            f"no {key}" if value is None else f"{key} = {json.dumps(value)}" for key, value in differing.items()
        )
        raise CheckpointError(f"{source}: a {family}, of another shape than the recipe's; write {keys} in [model]")


def _bert_keys(stock: Any, refused: list[str]) -> dict[str, object]:
    """The recipe keys of BERT's families only; what a recipe cannot express goes into `refused`."""
    for name, expected in _UNSUPPORTED_OPTIONS.items():
        if (value := getattr(stock, name, expected)) != expected:
            refused.append(f"{name} = {value!r} and not {expected!r}")
    named = {theirs: ours for ours, theirs in ACTIVATIONS.items() if ours != "geglu"}
    activation = named.get(_SYNONYMS.get(stock.hidden_act, stock.hidden_act))
    if activation is None:
        refused.append(f"hidden_act = {stock.hidden_act!r} and neither of {', '.join(sorted(named))}")
    return {"activation": activation}


def _modern_keys(stock: Any, config: EncoderConfig, refused: list[str]) -> dict[str, object]:
    """The same for ModernBERT."""
    for name in ("hidden_activation", "classifier_activation"):
        if (value := getattr(stock, name)) != ACTIVATIONS["geglu"]:
            refused.append(f"{name} = {value!r} and not {ACTIVATIONS['geglu']!r}")
    keys: dict[str, object] = {"rotary_base": _rotary_base(stock, GLOBAL, refused), "local_attention": None}
    types = list(stock.layer_types)
    if LOCAL in types:
        keys |= {"local_attention": stock.local_attention, "local_rotary_base": _rotary_base(stock, LOCAL, refused)}
        candidate = replace(config, layers=len(types), local_attention=stock.local_attention)
        # With few layers, several values give the same types; the recipe's own is tried first.
        possible = (config.global_every, *range(2, len(types) + 1))
        fitting = (every for every in possible if layer_types(replace(candidate, global_every=every)) == types)
        keys["global_every"] = next(fitting, None)
        if keys["global_every"] is None:
            refused.append(f"layer_types = {types}, of which not every n-th is {GLOBAL}")
    return keys


def _rotary_base(stock: Any, layer_type: str, refused: list[str]) -> float:
    rope = {name: value for name, value in stock.rope_parameters[layer_type].items() if value is not None}
    base = float(rope.pop("rope_theta"))
    if rope != {"rope_type": _DEFAULT_ROPE}:
        refused.append(f"rope_parameters of {layer_type} = {rope} and not of the type {_DEFAULT_ROPE!r}")
    return base


def require_vocabulary(source: str, ids: dict[str, int], entries: tuple[str, ...]) -> None:
    """Refuse a checkpoint with other entries than the shards.

    Raises:
        CheckpointError: it has.
    """
    theirs = sorted(ids, key=ids.__getitem__)
    if [ids[entry] for entry in theirs] != list(range(len(theirs))) or len(theirs) != len(entries):
        raise CheckpointError(
            f"{source}: its vocabulary has {len(theirs)} entries and the shards' {len(entries)}; prepare the data set "
            f"with the checkpoint's own: bertd data prepare --vocab"
        )
    for index, (entry, expected) in enumerate(zip(theirs, entries, strict=True)):
        if entry != expected:
            raise CheckpointError(
                f"{source}: its entry {index} is {entry!r} and the shards' {expected!r}; prepare the data set with the "
                "checkpoint's own vocabulary: bertd data prepare --vocab"
            )


@torch.no_grad()
def _copy_weights(source: str, stock: dict[str, Tensor], *, into: MaskedLanguageModel, pad_id: int) -> None:
    ours = dict(into.named_parameters())
    segment = next((tensor[0] for name, tensor in stock.items() if name.endswith(_SEGMENTS)), None)
    used: set[int] = set()
    for mapping in weight_mappings(into.config, pad_id=pad_id):
        tensor = stock.get(mapping.hf_name)
        if tensor is not None:
            used.add(tensor.data_ptr())
        if mapping.bertd_name is None:
            _require_zeros(source, mapping, tensor)
            continue
        start, stop = mapping.rows or (0, len(ours[mapping.bertd_name]))
        target = ours[mapping.bertd_name][start:stop]
        if tensor is None:
            # A stock class without this bias computes the same as one with zeros.
            target.zero_()
            continue
        rows = tensor[mapping.skipped : mapping.skipped + len(target)]
        is_positions = mapping.bertd_name == "encoder.embeddings.positions.weight"
        if len(rows) < len(target):
            remedy = f"set data.sequence_length = {len(rows)}" if is_positions else "start from another checkpoint"
            raise CheckpointError(
                f"{source}: {mapping.hf_name} has {len(rows)} of the {len(target)} rows that this run needs; {remedy}"
            )
        target.copy_(rows + segment if is_positions and segment is not None else rows)
    for name in _unused_tensors(stock, used):
        raise CheckpointError(f"{source}: {name} is not zero, and this model has no place for it; {_remedy(name)}")


def _require_zeros(source: str, mapping: WeightMapping, tensor: Tensor | None) -> None:
    if tensor is not None and not mapping.hf_name.endswith(_SEGMENTS) and tensor.any():
        raise CheckpointError(
            f"{source}: {mapping.hf_name} is not zero, and this model has no place for it; {_remedy(mapping.hf_name)}"
        )


def _unused_tensors(stock: dict[str, Tensor], used: set[int]) -> Iterator[str]:
    """Tensors that were not copied and are not zero; tied tensors have two names and one address."""
    return (name for name, tensor in stock.items() if tensor.data_ptr() not in used and tensor.any())


def _remedy(name: str) -> str:
    return "write bias = true in [model]" if name.endswith(".bias") else "start from another checkpoint"
