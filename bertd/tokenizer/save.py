"""The files with which stock transformers opens a tokenizer: tokenizer.json, tokenizer_config.json, vocab.txt.

transformers' class for BERT builds its tokenizer anew from the vocabulary and four settings, and ignores the rest of
tokenizer.json. So that class is named only where it builds exactly this tokenizer; all others are opened from
tokenizer.json as it is. bertd.tokenizer.stock compares the ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordPiece

from bertd.tokenizer.kind import VocabularyKind
from bertd.tokenizer.stock import TOKENIZER_CONFIG
from bertd.tokenizer.vocabulary import Vocabulary, vocabulary_from_json
from bertd.tokenizer.wordpiece import Casing, bert_normalizer, read_casing

_SEGMENT_INPUT = "token_type_ids"


@dataclass(frozen=True)
class ModelLimits:
    """What the model of an export takes, which its tokenizer's files repeat."""

    max_length: int
    """Most tokens of an input: the model's positions."""
    has_segments: bool
    """Whether it takes token types."""


def tokenizer_files(tokenizer: Tokenizer, *, place: str, limits: ModelLimits | None = None) -> dict[str, bytes]:
    """The files that `AutoTokenizer.from_pretrained` loads, by name; the same tokenizer gives the same bytes.

    Args:
        limits: of the model that the files are for; None for a vocabulary or data set, which any model may use.

    Raises:
        VocabularyError: the vocabulary is unusable.
    """
    tree = json.loads(tokenizer.to_str())
    vocabulary = vocabulary_from_json(tree, place=place)
    config: dict[str, object] = {
        f"{role}_token": vocabulary.entries[number] for role, number in vocabulary.special_by_role.items()
    }
    files: dict[str, bytes] = {}
    # tokenizers writes the vocabulary in the order of a hash table.
    ids = {entry: i for i, entry in enumerate(vocabulary.entries)}
    if isinstance(tree["model"]["vocab"], dict):
        tree["model"]["vocab"] = {entry: i for entry, i in ids.items() if entry in tree["model"]["vocab"]}
    casing = read_casing(tokenizer)
    is_wordpiece = vocabulary.kind is VocabularyKind.WORDPIECE
    if is_wordpiece and _is_built_as_bert(tree, vocabulary, casing):
        config |= {
            "do_lower_case": casing.lowercase,
            "strip_accents": casing.strip_accents,
            "tokenize_chinese_chars": casing.splits_chinese,
            "tokenizer_class": "BertTokenizer",
        }
        files["vocab.txt"] = "".join(f"{entry}\n" for entry in vocabulary.entries).encode()
    else:
        # This class uses tokenizer.json unchanged; a model's own class would add tokens that it may lack.
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    has_segments = is_wordpiece if limits is None else is_wordpiece and limits.has_segments
    config["model_input_names"] = ["input_ids", *([_SEGMENT_INPUT] if has_segments else []), "attention_mask"]
    if limits is not None:
        config["model_max_length"] = limits.max_length
    files["tokenizer.json"] = (json.dumps(tree, ensure_ascii=False, indent=1) + "\n").encode()
    files[TOKENIZER_CONFIG] = (json.dumps(config, indent=1, sort_keys=True) + "\n").encode()
    return files


def _is_built_as_bert(tree: Mapping[str, Any], vocabulary: Vocabulary, casing: Casing) -> bool:
    """Whether transformers' BertTokenizer, given the vocabulary and the settings, is this tokenizer."""
    entries = vocabulary.entries
    unk, cls, sep = entries[vocabulary.unk], entries[vocabulary.cls], entries[vocabulary.sep]
    built = Tokenizer(WordPiece({unk: 0}, unk_token=unk))
    built.normalizer = bert_normalizer(casing)
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.decoder = decoders.WordPiece(prefix="##")
    built.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocabulary.cls), (sep, vocabulary.sep)],
    )
    wanted = json.loads(built.to_str())
    # What the class does not let differ, besides the vocabulary and the tokens that it adds itself.
    parts = ("pre_tokenizer", "decoder", "post_processor")
    normalizer = dict(tree["normalizer"]) | {"strip_accents": casing.strip_accents}
    model = {key: value for key, value in tree["model"].items() if key != "vocab"}
    added = {token["id"] for token in tree["added_tokens"]}
    is_plain = all(
        token["special"] and not any(token[flag] for flag in ("single_word", "lstrip", "rstrip", "normalized"))
        for token in tree["added_tokens"]
    )
    return (
        all(tree[part] == wanted[part] for part in parts)
        and normalizer == wanted["normalizer"]
        and model == {key: value for key, value in wanted["model"].items() if key != "vocab"}
        and is_plain
        and added <= vocabulary.special
    )
