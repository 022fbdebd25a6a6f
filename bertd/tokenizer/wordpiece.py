"""BERT's WordPiece tokenizer, built over a vocabulary."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from bertd.errors import VocabularyError
from bertd.tokenizer.tokenizer_json import BERT_TOKENS
from bertd.tokenizer.vocabulary import make_vocabulary


@dataclass(frozen=True)
class Casing:
    """What the normalizer does to letters."""

    lowercase: bool
    strip_accents: bool


def read_casing(tokenizer: Tokenizer) -> Casing:
    """What the tokenizer's normalizer does to letters; only BERT's changes them."""
    normalizer = json.loads(tokenizer.to_str())["normalizer"] or {}
    lowercase, strip = bool(normalizer.get("lowercase")), normalizer.get("strip_accents")
    return Casing(lowercase=lowercase, strip_accents=lowercase if strip is None else bool(strip))


def build_wordpiece_tokenizer(entries: tuple[str, ...], *, casing: Casing, place: str) -> Tokenizer:
    """BERT's tokenizer over a vocabulary.

    Raises:
        VocabularyError: a special token is missing.
    """
    vocabulary = make_vocabulary(entries, place=place)
    ids = {entry: i for i, entry in enumerate(entries)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token=BERT_TOKENS["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=casing.lowercase, strip_accents=casing.strip_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary.cls), ("[SEP]", vocabulary.sep)],
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in BERT_TOKENS.values()])
    return tokenizer


def build_from_vocab_txt(content: str, *, path: Path, config: Path) -> Tokenizer:
    """BERT's tokenizer from a vocab.txt.

    Args:
        content: of the file at `path`.
        config: a tokenizer_config.json that may set the casing.

    Raises:
        VocabularyError: a special token is missing, or `config` is damaged.
    """
    entries = tuple(line.rstrip("\r") for line in content.rstrip("\n").split("\n"))
    return build_wordpiece_tokenizer(entries, casing=_guess_casing(entries, config), place=str(path))


def _guess_casing(entries: tuple[str, ...], config: Path) -> Casing:
    special = set(BERT_TOKENS.values())
    lowercase = not any(entry.lower() != entry for entry in entries if entry not in special)
    strip_accents = lowercase
    if config.is_file():
        try:
            config_tree = json.loads(config.read_bytes())
        except ValueError as error:
            raise VocabularyError(f"{config}: not JSON: {error}; fix it or remove it") from error
        lowercase = bool(config_tree.get("do_lower_case", lowercase))
        # Null means: as lowercase does.
        strip_accents = lowercase if config_tree.get("strip_accents") is None else bool(config_tree["strip_accents"])
    return Casing(lowercase=lowercase, strip_accents=strip_accents)
