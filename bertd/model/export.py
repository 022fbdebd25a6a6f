"""Exports: a folder that stock transformers loads, with no custom code and no missing or unexpected key.

Configurations are written as JSON, so exporting does not import transformers: that would cost seconds of the budget.
tests/model/test_export.py holds equal logits.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from bertd.errors import OutputExistsError, StorageError, VocabularyError
from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.model.hf_mapping import Family, family_of, transformers_config, weight_mappings
from bertd.run.atomic_files import SHARED_MODE, fsync_folder, set_mode, temporary_folder
from bertd.run.paths import VOID_PREFIX
from bertd.tokenizer.errors import translate_tokenizer_errors
from bertd.tokenizer.save import ModelLimits, tokenizer_files
from bertd.tokenizer.tokenizer_json import special_ids

WEIGHTS = "model.safetensors"


def write_export(model: MaskedLanguageModel, folder: Path, *, tokenizer_dir: Path, model_card: str) -> str:
    """Write the folder atomically.

    Args:
        folder: appears only when complete; one with these weights is left as it is, one with others is moved aside.
        tokenizer_dir: holds the data set's tokenizer.json.
        model_card: content of README.md.

    Returns:
        The transformers class name.

    Raises:
        OutputExistsError: another process made the folder meanwhile.
        StorageError: the disk refused; nothing is left behind.
        VocabularyError: the tokenizer has no special tokens.
    """
    return export_weights(
        dict(model.named_parameters()), model.config, folder, tokenizer_dir=tokenizer_dir, model_card=model_card
    )


def export_weights(
    weights: Mapping[str, Tensor], config: EncoderConfig, folder: Path, *, tokenizer_dir: Path, model_card: str
) -> str:
    """Write an export from weights under the model's own names, on any device.

    Raises:
        OutputExistsError: another process made the folder meanwhile.
        StorageError: the disk refused; nothing is left behind.
        VocabularyError: the tokenizer has no special tokens.
    """
    family = family_of(config)
    ids = _special_ids(tokenizer_dir)
    stock = stock_weights(weights, config, pad_id=ids["pad"])
    try:
        if folder.is_dir():
            if _has_weights(folder, stock):
                # An earlier attempt got this far.
                return family
            # The run was rolled back since and reached this step again with other weights.
            shutil.rmtree(void := folder.with_name(VOID_PREFIX + folder.name), ignore_errors=True)
            folder.rename(void)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder) as temporary:
            for name, written in export_tokenizer_files(tokenizer_dir, config).items():
                (temporary / name).write_bytes(written)
            save_file(stock, temporary / WEIGHTS, metadata={"format": "pt"})
            content = transformers_config(config, pad_id=ids["pad"], cls_id=ids["cls"], sep_id=ids["sep"])
            (temporary / "config.json").write_text(json.dumps(content, indent=2) + "\n")
            (temporary / "README.md").write_text(model_card)
            # safetensors makes its file readable to its owner alone.
            set_mode(temporary / WEIGHTS, SHARED_MODE)
            for entry in temporary.iterdir():
                with entry.open("rb") as file:
                    os.fsync(file.fileno())
            fsync_folder(temporary)
            temporary.rename(folder)
        fsync_folder(folder.parent)
    except (OSError, SafetensorError) as error:
        if getattr(error, "errno", None) in (errno.ENOTEMPTY, errno.EEXIST):
            raise OutputExistsError(f"{folder}: another process made it meanwhile; give another folder") from error
        raise StorageError(
            f"{folder}: cannot write the export: {getattr(error, 'strerror', None) or error}; free space there"
        ) from error
    return family


def export_tokenizer_files(tokenizer_dir: Path, config: EncoderConfig) -> dict[str, bytes]:
    """The data set's tokenizer as files that AutoTokenizer loads, with what the model's configuration says too.

    Written from tokenizer.json, and not copied: the other files of a data set that an older bertd made may say less.

    Raises:
        VocabularyError: it cannot be read.
    """
    path = tokenizer_dir / "tokenizer.json"
    try:
        with translate_tokenizer_errors():
            tokenizer = Tokenizer.from_file(str(path))
    except RuntimeError as error:
        raise VocabularyError(f"{path}: not a tokenizer that tokenizers can load: {error}") from error
    limits = ModelLimits(max_length=config.max_positions, has_segments=family_of(config) is not Family.MODERN)
    return tokenizer_files(tokenizer, place=str(path), limits=limits)


def _has_weights(folder: Path, stock: Mapping[str, Tensor]) -> bool:
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return set(file.keys()) == set(stock) and all(
                torch.equal(file.get_tensor(name), tensor.cpu()) for name, tensor in stock.items()
            )
    except (OSError, SafetensorError):
        return False


def _special_ids(tokenizer_dir: Path) -> dict[str, int]:
    path = tokenizer_dir / "tokenizer.json"
    return special_ids(json.loads(path.read_bytes()), place=str(path))


def stock_weights(ours: Mapping[str, Tensor], config: EncoderConfig, *, pad_id: int) -> dict[str, Tensor]:
    """Every tensor under the name the transformers class gives it: fp32, on CPU, contiguous."""
    weights: dict[str, Tensor] = {}
    for place in weight_mappings(config, pad_id=pad_id):
        if place.bertd_name is None:
            weights[place.hf_name] = torch.zeros(place.zeros)
            continue
        tensor = ours[place.bertd_name].detach().float().cpu()
        start, stop = place.rows or (0, len(tensor))
        padding = torch.zeros(place.skipped, *tensor.shape[1:])
        weights[place.hf_name] = torch.cat([padding, tensor[start:stop]])
    return weights
