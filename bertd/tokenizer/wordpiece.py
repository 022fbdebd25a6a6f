"""BERT's WordPiece tokenizer, built over a vocabulary."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from bertd.tokenizer.tokenizer_json import BERT_TOKENS
from bertd.tokenizer.vocabulary import make_vocabulary


@dataclass(frozen=True)
class Casing:
    """What the normalizer does to letters."""

    lowercase: bool
    strip_accents: bool
    splits_chinese: bool = True
    """Whether each Chinese character is a word of its own."""


def read_casing(tokenizer: Tokenizer) -> Casing:
    """What the tokenizer's normalizer does to letters; only BERT's changes them."""
    normalizer = json.loads(tokenizer.to_str())["normalizer"] or {}
    lowercase, strip = bool(normalizer.get("lowercase")), normalizer.get("strip_accents")
    return Casing(
        lowercase=lowercase,
        strip_accents=lowercase if strip is None else bool(strip),
        splits_chinese=bool(normalizer.get("handle_chinese_chars")),
    )


def bert_normalizer(casing: Casing) -> normalizers.BertNormalizer:
    """BERT's normalizer with these settings."""
    return normalizers.BertNormalizer(
        lowercase=casing.lowercase, strip_accents=casing.strip_accents, handle_chinese_chars=casing.splits_chinese
    )


def build_wordpiece_tokenizer(entries: tuple[str, ...], *, casing: Casing, place: str) -> Tokenizer:
    """BERT's tokenizer over a vocabulary.

    Raises:
        VocabularyError: a special token is missing.
    """
    vocabulary = make_vocabulary(entries, place=place)
    ids = {entry: i for i, entry in enumerate(entries)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token=BERT_TOKENS["unk"]))
    tokenizer.normalizer = bert_normalizer(casing)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary.cls), ("[SEP]", vocabulary.sep)],
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in BERT_TOKENS.values()])
    return tokenizer


def read_entries(content: str) -> tuple[str, ...]:
    """The entries of a vocab.txt, one a line."""
    return tuple(line.rstrip("\r") for line in content.rstrip("\n").split("\n"))


def guess_lowercase(entries: tuple[str, ...]) -> bool:
    """Whether a vocabulary that does not record its casing is uncased: no entry has a capital letter."""
    special = set(BERT_TOKENS.values())
    return not any(entry.lower() != entry for entry in entries if entry not in special)
