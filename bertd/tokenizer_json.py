"""What a tokenizer.json says of its entries: their ids, and which are special.

Special tokens go by their roles. BERT and ModernBERT name them one way, RoBERTa another; a vocabulary has the first of
the namings that is wholly in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertd.errors import VocabularyError

BERT_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
"""By their roles, in the order in which a new vocabulary numbers them from 0."""
ROBERTA_TOKENS = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
"""By their roles."""
_NAMINGS = (BERT_TOKENS, ROBERTA_TOKENS)


def entry_ids(tree: Mapping[str, Any]) -> dict[str, int]:
    """Ids of all entries: the model's vocabulary, and the tokens added to it.

    Args:
        tree: the file's content.
    """
    ids = {str(entry): int(number) for entry, number in dict(tree["model"]["vocab"]).items()}
    return ids | {str(token["content"]): int(token["id"]) for token in tree["added_tokens"]}


def special_ids(ids: Mapping[str, int], *, place: str) -> dict[str, int]:
    """Ids of the special tokens by their roles: pad, unk, cls, sep, mask.

    Args:
        ids: of all entries.
        place: what a message calls the vocabulary.

    Raises:
        VocabularyError: no naming is wholly there; the message lists what the closest one lacks.
    """
    missing = [[token for token in naming.values() if token not in ids] for naming in _NAMINGS]
    fewest = min(missing, key=len)
    if fewest:
        raise VocabularyError(f"{place}: lacks {', '.join(fewest)}; use the vocabulary of a BERT-like model")
    return {role: ids[token] for role, token in _NAMINGS[missing.index(fewest)].items()}
