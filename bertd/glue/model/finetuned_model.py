"""A finetuned model as a folder that stock AutoModelForSequenceClassification, AutoModelForTokenClassification for
tags of words, or AutoModelForQuestionAnswering loads with its tokenizer.

The configuration names the labels. `bertd_finetuning.json` has what transformers has no place for: the columns of the
texts, the length to which they were cut, and the threshold of no answer.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import transformers
from pydantic import ValidationError
from safetensors import SafetensorError

from bertd.errors import CheckpointError, StorageError
from bertd.glue.model.classifier import Classifier, load_folder, read_config
from bertd.glue.model.head import HeadKind
from bertd.records import Record
from bertd.run.atomic_files import SHARED_MODE, fsync_folder, set_mode, temporary_folder
from bertd.run.paths import TRASH_PREFIX

_ARCHITECTURES = {
    "ForTokenClassification": HeadKind.TOKENS,
    "ForQuestionAnswering": HeadKind.SPANS,
    "ForQuestionAnsweringSimple": HeadKind.SPANS,
}
"""Heads, by what ends the names of transformers' classes that have them; all others classify texts."""
_MAX_LENGTH = 512
"""Of a stock model, if it has as many positions."""
_DESCRIPTION = "bertd_finetuning.json"
_COPIED_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"),
)
"""The tokenizer's; copied and not saved, since saving them may change them."""


class FinetuningDescription(Record):
    """Content of bertd_finetuning.json."""

    task: str
    text: tuple[str, ...]
    """Columns of the texts in the training file."""
    max_length: int
    """Tokens to which texts are cut; of questions, those of a window with its question."""
    source: str
    """The export that was finetuned."""
    null_threshold: float | None = None
    """Log-odds of no answer above which a question gets none; None if each gets an answer."""


def save_finetuned(
    folder: Path,
    classifier: Classifier,
    *,
    task: str,
    text: tuple[str, ...],
    tokenizer_dir: Path,
    source: str,
    null_threshold: float | None = None,
) -> None:
    """Write the folder whole: it has the new model, or is as it was.

    Args:
        task: the task's name.
        text: columns of the texts.
        tokenizer_dir: the folder that the encoder and its tokenizer were loaded from.
        source: the export's name.
        null_threshold: log-odds of no answer above which a question gets none.

    Raises:
        StorageError: the disk refused.
    """
    description = FinetuningDescription(
        task=task, text=text, max_length=classifier.max_length, source=source, null_threshold=null_threshold
    )
    try:
        with temporary_folder(folder) as temporary:
            classifier.model.save_pretrained(temporary)
            for name in _COPIED_FILES:
                if (tokenizer_dir / name).is_file():
                    shutil.copyfile(tokenizer_dir / name, temporary / name)
            (temporary / _DESCRIPTION).write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")
            for entry in temporary.iterdir():
                # safetensors makes its file readable to its owner alone.
                set_mode(entry, SHARED_MODE)
                with entry.open("rb") as file:
                    os.fsync(file.fileno())
            fsync_folder(temporary)
            if folder.is_dir():
                folder.rename(old := folder.with_name(f"{TRASH_PREFIX}{folder.name}-{os.getpid()}"))
                shutil.rmtree(old, ignore_errors=True)
            temporary.rename(folder)
        fsync_folder(folder.parent)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{folder}: cannot keep the finetuned model: {reason}; free space there") from error


def load_finetuned(folder: Path) -> tuple[Classifier, FinetuningDescription | None]:
    """Load a finetuned model, one that bertd kept or a stock one; the latter has no description.

    Raises:
        CheckpointError: the folder has no finetuned classifier.
    """
    config = read_config(folder)
    description = _read_description(folder)
    if config.problem_type == "multi_label_classification":
        raise CheckpointError(f"{folder}: gives several labels to a text; bertd predicts one of them, or a number")
    classifier, report = load_folder(
        folder,
        config,
        kind=_find_kind(config),
        max_length=_MAX_LENGTH if description is None else description.max_length,
    )
    if wrong := [*report["missing_keys"], *map(str, report["mismatched_keys"])]:
        raise CheckpointError(
            f"{folder}: no finetuned classifier in it (no weight {wrong[0]}); `bertd finetune --keep best` makes one"
        )
    return classifier, description


def _find_kind(config: transformers.PretrainedConfig) -> HeadKind:
    ends = (end for name in config.architectures or () for end in _ARCHITECTURES if name.endswith(end))
    return _ARCHITECTURES.get(next(ends, ""), HeadKind.SEQUENCE)


def _read_description(folder: Path) -> FinetuningDescription | None:
    path = folder / _DESCRIPTION
    try:
        return FinetuningDescription.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{path}: cannot be read; restore it, or delete it and name --text") from error
