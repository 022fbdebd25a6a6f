"""Kinds of tokenizers, told by a tokenizer.json: what of a text each encodes on its own, and how its pieces show words.

Of the two that BERT-like models mostly have, runs of characters between spaces are known to be encoded each on its own,
which saves most of the work (see chunks.py). Whatever else tokenizers reads encodes each sentence whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from bertd.errors import VocabularyError
from bertd.tokenizer.tokenizer_json import entry_ids, special_ids

_BYTE_ENTRY = re.compile("<0x[0-9A-F]{2}>")
"""SentencePiece's entries for single bytes, which byte_fallback asks for by these names."""
_UNSPELLABLE_PREFIX = "\U0010ffff"
"""Begins names that no text has: Unicode assigns it to no character."""


class VocabularyKind(StrEnum):
    """How the entries spell text."""

    WORDPIECE = "WordPiece"
    """BERT's: characters; a piece that goes on a word begins with ##."""
    BYTE_LEVEL = "byte-level BPE"
    """RoBERTa's and ModernBERT's: bytes, each by a character of its own; a piece that begins a word brings the space
    before it."""
    OTHER = "encoded by whole sentences"
    """Anything else, such as SentencePiece."""


def detect_kind(tree: Mapping[str, Any]) -> VocabularyKind:
    """The kind of the tokenizer that is the content of a tokenizer.json."""
    if _splits_like_bert(tree):
        return VocabularyKind.WORDPIECE
    return VocabularyKind.BYTE_LEVEL if _splits_before_spaces(tree) else VocabularyKind.OTHER


def require_deterministic(tree: Mapping[str, Any], *, place: str) -> None:
    """Make sure that a text always has the same ids, and no text those of special tokens.

    Args:
        tree: content of a tokenizer.json.
        place: what a message calls it.

    Raises:
        VocabularyError: it does not.
    """
    if tree["model"].get("dropout"):
        raise VocabularyError(f"{place}: encodes by chance (dropout {tree['model']['dropout']}); set it to null")
    special = set(special_ids(tree, place=place).values())
    for token in tree["added_tokens"]:
        if token["id"] in special and not token["special"]:
            raise VocabularyError(
                f"{place}: adds {token['content']!r} without marking it as special, so that text could spell it; "
                "set special to true"
            )


def has_prepend_normalizer(tree: Mapping[str, Any]) -> bool:
    """Whether the normalizer begins each text with something, if it has that already or not, as Llama's does."""
    normalizer = tree["normalizer"] or {}
    return any(part["type"] == "Prepend" for part in normalizer.get("normalizers", [normalizer]) if part)


def rename_special_tokens(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries by the same ids, but the special ones under names that no text spells.

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
    # An entry added outside the vocabulary may reach over spaces.
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
        # It never comes up: all whitespace in a row becomes one space.
        return True
    return not token["rstrip"] and not any(map(str.isspace, content))
