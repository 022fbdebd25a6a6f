"""Load an export as a classifier with stock transformers, and check that all encoder weights were loaded.

transformers only logs missing keys, so an export with wrong names would load without an error and with random weights.
So the loading report is checked here: only the pooler and the classifier may be new, everything else must come from the
export, and the export may have no other weights than the encoder and the language-model head.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from bertd.errors import CheckpointError
from bertd.glue.tasks import Task

DROPOUT = 0.1
"""Independent of the pretraining's dropout: small tasks overfit. Source: Geiping & Goldstein 2022, section 4.3."""

_NEW_MODULES = ("pooler", "classifier")
"""Module names of the weights that a finetuning initializes."""


@dataclass(frozen=True)
class Classifier:
    """A model on the CPU, ready to be trained, with its tokenizer."""

    model: nn.Module
    tokenizer: transformers.PreTrainedTokenizerBase
    max_length: int
    """Most tokens in one input: as requested, or fewer if the model has fewer positions."""
    has_segments: bool
    """Whether the model has token types for the two sentences of a pair."""

    @property
    def pad_id(self) -> int:
        """The id that fills short texts."""
        return int(self.tokenizer.pad_token_id)


def load_classifier(export: Path, task: Task, *, max_length: int) -> Classifier:
    """Load the encoder with a new classifier for `task`; the caller seeds torch first, for the new weights.

    Raises:
        CheckpointError: the folder is not an export, or lacks weights of the encoder.
    """
    if not (export / "config.json").is_file():
        raise CheckpointError(
            f"{export}: no config.json in it; give the folder of an export, such as RUN/exports/step-N"
        )
    if not any((export / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        # transformers would use an empty vocabulary, and every word would be unknown.
        raise CheckpointError(f"{export}: neither tokenizer.json nor vocab.txt in it; export the run again")
    # The report is checked below; progress bars in a log file are noise.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(
            export,
            local_files_only=True,
            num_labels=task.num_outputs,
            hidden_dropout_prob=DROPOUT,
            attention_probs_dropout_prob=DROPOUT,
        )
        tokenizer = AutoTokenizer.from_pretrained(export, local_files_only=True)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            export, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise CheckpointError(f"{export}: transformers cannot load it: {reason}; export the run again") from error
    _check_loading_report(export, report, prefix=model.base_model_prefix)
    if len(tokenizer) > config.vocab_size:
        raise CheckpointError(
            f"{export}: the tokenizer has {len(tokenizer)} tokens, the model {config.vocab_size}; export the run again"
        )
    return Classifier(
        model=model,
        tokenizer=tokenizer,
        max_length=min(max_length, _num_positions(config, tokenizer)),
        has_segments=getattr(config, "type_vocab_size", 1) >= 2,
    )


def _check_loading_report(export: Path, report: dict[str, list[str]], *, prefix: str) -> None:
    missing = sorted(key for key in report["missing_keys"] if not set(_NEW_MODULES) & set(key.split(".")))
    unexpected = sorted(key for key in report["unexpected_keys"] if key.startswith(f"{prefix}."))
    mismatched = sorted(str(key) for key in report["mismatched_keys"])
    for what, keys in (
        ("missing", missing),
        ("not of this architecture", unexpected),
        ("of another shape", mismatched),
    ):
        if keys:
            raise CheckpointError(
                f"{export}: {len(keys)} weights of the encoder are {what}, such as {keys[0]}; "
                "finetuning would start from random weights: export the run again"
            )


def _num_positions(config: transformers.PretrainedConfig, tokenizer: transformers.PreTrainedTokenizerBase) -> int:
    positions = int(config.max_position_embeddings)
    if "roberta" in config.model_type:
        # RoBERTa's position ids start at pad_id + 1, so its table has that many unused rows.
        positions -= int(config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))
