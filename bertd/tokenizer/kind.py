"""Detect the kind of a tokenizer.json: what it encodes independently, and how its pieces mark words.

The two kinds that most BERT-like models have encode every chunk between spaces independently, which saves most of the
work (see cached_encoder.py). With any other kind that tokenizers reads, each sentence is encoded whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from bertd.errors import VocabularyError
from bertd.tokenizer.tokenizer_json import entry_ids, special_ids

_BYTE_ENTRY = re.compile("<0x[0-9A-F]{2}>")
"""SentencePiece's entries for single bytes, which byte_fallback looks up by these names."""
_UNSPELLABLE_PREFIX = "\U0010ffff"
"""Begins names that no text has: Unicode assigns it to no character."""


class VocabularyKind(StrEnum):
    """How the entries spell text."""

    WORDPIECE = "WordPiece"
    """BERT's: characters; a piece that continues a word begins with ##."""
    BYTE_LEVEL = "byte-level BPE"
    """RoBERTa's and ModernBERT's: bytes, each spelled by one character; a piece that begins a word includes the
    space before it."""
    OTHER = "encoded by whole sentences"
    """Anything else, such as SentencePiece."""


def detect_kind(tree: Mapping[str, Any]) -> VocabularyKind:
    """The kind of a tokenizer, from the content of its tokenizer.json."""
    if _splits_like_bert(tree):
        return VocabularyKind.WORDPIECE
    return VocabularyKind.BYTE_LEVEL if _splits_before_spaces(tree) else VocabularyKind.OTHER


def require_deterministic(tree: Mapping[str, Any], *, place: str) -> None:
    """Check that a text always has the same ids, and that no text has those of special tokens.

    Args:
        tree: content of a tokenizer.json.
        place: its name in messages.

    Raises:
        VocabularyError: one of the two does not hold.
    """
    if tree["model"].get("dropout"):
        raise VocabularyError(f"{place}: encodes at random (dropout {tree['model']['dropout']}); set it to null")
    special = set(special_ids(tree, place=place).values())
    for token in tree["added_tokens"]:
        if token["id"] in special and not token["special"]:
            raise VocabularyError(
                f"{place}: adds {token['content']!r} without marking it as special, so that text could spell it; "
                "set special to true"
            )


def has_prepend_normalizer(tree: Mapping[str, Any]) -> bool:
    """Whether the normalizer prepends something to each text, even if it is already there, as Llama's does."""
    normalizer = tree["normalizer"] or {}
    return any(part["type"] == "Prepend" for part in normalizer.get("normalizers", [normalizer]) if part)


def rename_special_tokens(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries and ids, with the special tokens under names that no text spells.

    Args:
        tree: content of a tokenizer.json; not modified.

    Raises:
        VocabularyError: a special token is missing.
    """
    entries = {number: entry for entry, number in entry_ids(tree).items()}
    special = {entries[number] for number in special_ids(tree, place="tokenizer").values()}
    special |= {token["content"] for token in tree["added_tokens"] if token["special"]}
    names = {entry: _UNSPELLABLE_PREFIX + entry for entry in special if not _BYTE_ENTRY.fullmatch(entry)}
    model = dict(tree["model"])
    if isinstance(model["vocab"], Mapping):
        model["vocab"] = {names.get(entry, entry): number for entry, number in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(entry, entry), score] for entry, score in model["vocab"]]
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if names.keys().isdisjoint((*pair, "".join(pair)))]
    if model.get("unk_token") is not None:
        model["unk_token"] = names.get(model["unk_token"], model["unk_token"])
    added = [token | {"content": names.get(token["content"], token["content"])} for token in tree["added_tokens"]]
    return dict(tree) | {"model": model, "added_tokens": added, "post_processor": None}


def _splits_like_bert(tree: Mapping[str, Any]) -> bool:
    parts = [(tree.get(name) or {}).get("type") for name in ("model", "normalizer", "pre_tokenizer")]
    if parts != ["WordPiece", "BertNormalizer", "BertPreTokenizer"]:
        return False
    # An entry added outside the vocabulary may contain spaces.
    return bool(tree["normalizer"]["clean_text"]) and all(token["special"] for token in tree["added_tokens"])


def _splits_before_spaces(tree: Mapping[str, Any]) -> bool:
    model, normalizer, pre_tokenizer = tree["model"], tree["normalizer"] or {}, tree["pre_tokenizer"] or {}
    if model["type"] != "BPE" or pre_tokenizer.get("type") != "ByteLevel" or not pre_tokenizer.get("use_regex", True):
        return False
    if normalizer.get("type", "NFC") != "NFC":
        return False
    if any(model.get(name) for name in ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")):
        return False
    return all(token["special"] or _fits_in_one_chunk(token) for token in tree["added_tokens"])


def _fits_in_one_chunk(token: Mapping[str, Any]) -> bool:
    content = token["content"]
    if content.isspace() and len(content) > 1:
        # It never occurs: all whitespace in a row becomes one space.
        return True
    return not token["rstrip"] and not any(map(str.isspace, content))
