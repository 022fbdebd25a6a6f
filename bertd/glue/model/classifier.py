"""Load an encoder as a classifier with stock transformers, and check that all its weights were loaded.

The folder is an export of bertd, or any encoder that stock transformers saved. transformers only logs missing keys, so
weights under wrong names would load without an error and be random. So the loading report is checked here: only a
pooler and the head may be new, everything else must come from the folder, and the folder may have no other weights of
the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import transformers
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
)

from bertd.errors import CheckpointError
from bertd.glue.model.head import Head, HeadKind

DROPOUT = 0.1
"""Independent of the pretraining's dropout: small tasks overfit. Source: Geiping & Goldstein 2022, section 4.3."""

_DROPOUT_SETTINGS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob"),
    *("dropout", "attention_dropout"),  # DistilBERT
    *("embedding_dropout", "mlp_dropout", "classifier_dropout"),  # ModernBERT
)
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
"""A folder without one of these has no vocabulary."""
_ARCHITECTURES = {
    HeadKind.TOKENS: (AutoModelForTokenClassification, MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES),
    HeadKind.SPANS: (AutoModelForQuestionAnswering, MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES),
    HeadKind.SEQUENCE: (AutoModelForSequenceClassification, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES),
}
"""transformers' class for each head, and the model types that have it."""
_POOLER = "pooler"
"""The only part of an encoder that a finetuning may initialize, or leave out."""


@dataclass(frozen=True)
class Classifier:
    """A model on the CPU, ready to be trained, with its tokenizer."""

    model: transformers.PreTrainedModel
    kind: HeadKind
    """What it predicts."""
    tokenizer: transformers.PreTrainedTokenizerBase
    max_length: int
    """Most tokens in one input: as requested, or fewer if the model has fewer positions."""
    has_segments: bool
    """Whether the model has token types for the two sentences of a pair."""

    @property
    def pad_id(self) -> int:
        """The id that fills short texts."""
        return int(self.tokenizer.pad_token_id)


def load_classifier(export: Path, head: Head, *, max_length: int, is_finetuned: bool = False) -> Classifier:
    """Load the encoder with a new `head`; the caller seeds torch first, for the new weights.

    Args:
        export: the folder.
        head: what the model will predict.
        max_length: most tokens in one input.
        is_finetuned: it was finetuned on a task with another number of outputs, whose output layer is replaced.

    Raises:
        CheckpointError: the folder has no encoder that can be finetuned, or lacks weights of it.
    """
    config = read_config(export)
    for name in _DROPOUT_SETTINGS:
        if getattr(config, name, None) is not None:
            setattr(config, name, DROPOUT)
    _describe_head(config, head)
    classifier, report = load_folder(
        export, config, kind=head.kind, max_length=max_length, replaces_outputs=is_finetuned
    )
    _check_loading_report(export, report, model=classifier.model, replaces_outputs=is_finetuned)
    return classifier


def read_config(folder: Path) -> transformers.PretrainedConfig:
    """The configuration of an encoder.

    Raises:
        CheckpointError: there is none, or it is of another kind of model.
    """
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder}: no config.json in it; give the folder of an export, such as RUN/exports/step-N"
        )
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        # transformers would use an empty vocabulary, and every word would be unknown.
        raise CheckpointError(f"{folder}: neither tokenizer.json nor vocab.txt in it; export the run again")
    # The report is checked below; progress bars in a log file are noise.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(_unloadable_message(folder, error)) from error
    model_type = str(config.model_type)
    is_encoder = model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if not is_encoder or config.is_encoder_decoder or getattr(config, "is_decoder", False):
        raise CheckpointError(
            f"{folder}: model type {model_type!r} is not an encoder; give a model such as BERT or RoBERTa"
        )
    return config


def load_folder(
    folder: Path,
    config: transformers.PretrainedConfig,
    *,
    kind: HeadKind,
    max_length: int,
    replaces_outputs: bool = False,
) -> tuple[Classifier, dict[str, list[str]]]:
    """Load model and tokenizer, and transformers' report on the weights' names.

    Raises:
        CheckpointError: transformers has no such head for it or cannot load it, or its tokenizer cannot be used.
    """
    if (model_type := str(config.model_type)) not in _ARCHITECTURES[kind][1]:
        raise CheckpointError(f"{folder}: transformers has no {kind} for model type {model_type!r}; give another model")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, report = _ARCHITECTURES[kind][0].from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            # Weights of another shape stay random, as transformers initialized them.
            ignore_mismatched_sizes=replaces_outputs,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
        raise CheckpointError(_unloadable_message(folder, error)) from error
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"{folder}: its tokenizer is not one of the package tokenizers; save it as tokenizer.json"
        )
    if tokenizer.pad_token_id is None:
        raise CheckpointError(f"{folder}: its tokenizer has no padding token; set pad_token in tokenizer_config.json")
    if len(tokenizer) > config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model {config.vocab_size}; export the run again"
        )
    classifier = Classifier(
        # Weights saved in half precision are trained in single.
        model=model.float(),
        kind=kind,
        tokenizer=tokenizer,
        max_length=min(max_length, _num_positions(model, tokenizer)),
        has_segments=getattr(config, "type_vocab_size", 1) >= 2,
    )
    return classifier, report


def _unloadable_message(folder: Path, error: Exception) -> str:
    reason = str(error).strip().split("\n")[0][:300]
    return f"{folder}: transformers cannot load it: {reason}; export the run again"


def _describe_head(config: transformers.PretrainedConfig, head: Head) -> None:
    """Have the configuration name the outputs, which also decides the width of the classifier."""
    config.id2label = dict(enumerate(head.names))
    config.label2id = {name: number for number, name in enumerate(head.names)}
    if head.kind is HeadKind.SEQUENCE:
        config.problem_type = "regression" if head.is_number else "single_label_classification"


def _check_loading_report(
    folder: Path, report: dict[str, list[str]], *, model: transformers.PreTrainedModel, replaces_outputs: bool
) -> None:
    prefix = f"{model.base_model_prefix}."
    parts = {f"{name}." for name, _ in model.base_model.named_children()}
    missing = sorted(key for key in report["missing_keys"] if key.startswith(prefix) and _POOLER not in key.split("."))
    # A bare encoder is saved without the prefix.
    unexpected = sorted(
        key
        for key in report["unexpected_keys"]
        if (key.startswith(prefix) or any(key.startswith(part) for part in parts if part != "head."))
        and _POOLER not in key.split(".")
    )
    mismatched = sorted(
        str(name)
        for name in map(_name_of, report["mismatched_keys"])
        if name.startswith(prefix) or not replaces_outputs
    )
    for what, keys in (
        ("missing", missing),
        ("not of this architecture", unexpected),
        ("of another shape", mismatched),
    ):
        if keys:
            raise CheckpointError(
                f"{folder}: {len(keys)} weights of the encoder are {what}, such as {keys[0]}; "
                "finetuning would start from random weights: export the run again"
            )


def _name_of(mismatch: str | tuple[str, ...]) -> str:
    """The weight's name, without the two shapes."""
    return mismatch if isinstance(mismatch, str) else mismatch[0]


def _num_positions(model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase) -> int:
    limit = int(tokenizer.model_max_length)
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is None or int(positions) < 1:
        return limit
    unused = 0
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            # RoBERTa's and MPNet's position ids start at the padding's id + 1, so their table has unused rows.
            unused = int(module.padding_idx) + 1
    return min(int(positions) - unused, limit)
