"""What a tokenizer.json says of its entries: their ids, and which are special.

Special tokens go by their roles. [CLS] and [SEP] are what the tokenizer itself puts around a text, whatever they are
called; the others go by the names that BERT, ModernBERT and RoBERTa have for them, or by what their names contain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bertd.errors import VocabularyError

BERT_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
"""By their roles, in the order in which a new vocabulary numbers them from 0."""
ROBERTA_TOKENS = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
"""By their roles."""


def entry_ids(tree: Mapping[str, Any]) -> dict[str, int]:
    """Ids of all entries: the model's vocabulary, and the tokens added to it.

    Args:
        tree: the file's content.
    """
    vocabulary = tree["model"]["vocab"]
    if isinstance(vocabulary, Mapping):
        ids = {str(entry): int(number) for entry, number in vocabulary.items()}
    else:
        # Unigram has pairs of an entry and its score, in the order of their ids.
        ids = {str(entry): number for number, (entry, _) in enumerate(vocabulary)}
    return ids | {str(token["content"]): int(token["id"]) for token in tree["added_tokens"]}


def special_ids(tree: Mapping[str, Any], *, place: str) -> dict[str, int]:
    """Ids of the special tokens by their roles: pad, unk, cls, sep, mask.

    Where BPE has nothing for what is unknown, unk is pad, which no text has; other models cannot do without.

    Args:
        tree: the file's content.
        place: what a message calls the vocabulary.

    Raises:
        VocabularyError: a role has no token; the message has the names it may have.
    """
    ids, found = entry_ids(tree), dict[str, str | None](dict.fromkeys(BERT_TOKENS))
    before, after = _around(tree.get("post_processor") or {})
    if before and after:
        found |= {"cls": before[0], "sep": after[-1]}
    found["unk"] = _unknown(tree["model"])
    for role, token in found.items():
        if token not in ids:
            found[role] = _by_name(role, ids=ids, tree=tree)
    if tree["model"].get("type") == "BPE":
        found["unk"] = found["unk"] or found["pad"]
    if missing := [role for role, token in found.items() if token is None]:
        names = ", ".join(f"{BERT_TOKENS[role]} or {ROBERTA_TOKENS[role]}" for role in missing)
        raise VocabularyError(f"{place}: lacks {names}; use the vocabulary of a BERT-like model")
    return {role: ids[str(token)] for role, token in found.items()}


def _unknown(model: Mapping[str, Any]) -> str | None:
    """What the model has for what it cannot spell."""
    if model.get("unk_id") is not None:
        return str(model["vocab"][model["unk_id"]][0])
    return model.get("unk_token")


def _by_name(role: str, *, ids: Iterable[str], tree: Mapping[str, Any]) -> str | None:
    for naming in (BERT_TOKENS, ROBERTA_TOKENS):
        if naming[role] in ids:
            return naming[role]
    named = [str(token["content"]) for token in tree["added_tokens"] if token["special"]]
    named = [content for content in named if role in content.lower()]
    return named[0] if len(named) == 1 else None


def _around(post_processor: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The special tokens that are put before a single text, and those behind it."""
    before, after = list[str](), list[str]()
    for each in post_processor.get("processors", ()):
        inner_before, inner_after = _around(each)
        before, after = inner_before + before, after + inner_after
    side = before
    for part in post_processor.get("single", ()):
        if "SpecialToken" in part:
            side += post_processor["special_tokens"][part["SpecialToken"]["id"]]["tokens"]
        else:
            side = after
    # RobertaProcessing and BertProcessing.
    before += [str(post_processor["cls"][0])] if "cls" in post_processor else []
    after += [str(post_processor["sep"][0])] if "sep" in post_processor else []
    return before, after
