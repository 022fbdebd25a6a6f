"""Byte-level BPE tokenizers, as RoBERTa and ModernBERT have them: built from vocab.json, and told from others.

Text is spelled in 256 characters that stand for its bytes, so nothing is unknown. What is taken here cuts a text before
every single space: each run of characters is then encoded on its own, with the space before it (see chunks.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

from bertd.errors import VocabularyError
from bertd.tokenizer_json import special_ids

ENTRIES, MERGES = "vocab.json", "merges.txt"


def build_from_merges(folder: Path, *, config: Path) -> Tokenizer:
    """RoBERTa's tokenizer from its two files.

    Args:
        folder: holds ENTRIES and MERGES.
        config: a tokenizer_config.json that may ask for a space before the first word.

    Raises:
        VocabularyError: a file is damaged, or a special token is missing.
    """
    try:
        model = BPE.from_file(str(folder / ENTRIES), str(folder / MERGES))
        ids: dict[str, int] = json.loads((folder / ENTRIES).read_bytes())
        adds_space = bool(json.loads(config.read_bytes()).get("add_prefix_space")) if config.is_file() else False
    except Exception as error:  # tokenizers raises bare Exception
        raise VocabularyError(f"{folder}: {ENTRIES} and {MERGES} make no tokenizer: {error}; mend them") from error
    special = special_ids(ids, place=str(folder / ENTRIES))
    names = {number: entry for entry, number in ids.items()}
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=adds_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        (names[special["sep"]], special["sep"]),
        (names[special["cls"]], special["cls"]),
        trim_offsets=True,
        add_prefix_space=adds_space,
    )
    # The mask takes in the space before it, as it does in training, where it stands for a piece with its space.
    added = [
        AddedToken(names[number], special=True, normalized=False, lstrip=role == "mask")
        for role, number in special.items()
    ]
    tokenizer.add_special_tokens(added)
    return tokenizer


def require_byte_level(tree: Mapping[str, Any], *, place: str) -> None:
    """Make sure that runs between spaces are encoded each on its own, as ChunkEncoder takes for granted.

    Args:
        tree: content of a tokenizer.json whose model is BPE.
        place: what a message calls it.

    Raises:
        VocabularyError: they are not.
    """
    fault = next(chain(_faults(tree), _faults_of_added(tree, place=place)), None)
    if fault is not None:
        raise VocabularyError(
            f"{place}: {fault}; bertd takes byte-level BPE as RoBERTa and ModernBERT have it, and BERT's WordPiece"
        )


def _faults(tree: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the parts, in a few words each."""
    model, normalizer, pre_tokenizer = tree["model"], tree["normalizer"] or {}, tree["pre_tokenizer"] or {}
    if pre_tokenizer.get("type") != "ByteLevel":
        yield f"BPE that is not byte-level (pre_tokenizer {pre_tokenizer.get('type', 'null')})"
    elif not pre_tokenizer.get("use_regex", True):
        yield "does not cut the text into words (pre_tokenizer ByteLevel with use_regex false)"
    if normalizer.get("type", "NFC") != "NFC":
        yield f"changes the text (normalizer {normalizer['type']}, not NFC or null)"
    if model["dropout"]:
        yield f"encodes by chance (dropout {model['dropout']})"
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model[name]:
            yield f"marks its pieces ({name} {model[name]!r})"
    if model["byte_fallback"]:
        yield "spells bytes as <0x00> (byte_fallback true)"


def _faults_of_added(tree: Mapping[str, Any], *, place: str) -> Iterator[str]:
    """What is wrong with the tokens added, in a few words each."""
    ids = {token["content"]: token["id"] for token in tree["added_tokens"]}
    special = set(special_ids(tree["model"]["vocab"] | ids, place=place).values())
    for token in tree["added_tokens"]:
        content = token["content"]
        if token["special"]:
            continue
        if token["id"] in special:
            yield f"adds {content!r} without marking it as special, so that text could spell it"
        # Runs of spaces never come up: all whitespace becomes one space. Others lie within a run, or take its space.
        is_run = content.isspace() and len(content) > 1
        if not is_run and (token["rstrip"] or any(map(str.isspace, content))):
            yield f"adds {content!r}, which reaches beyond a word"
